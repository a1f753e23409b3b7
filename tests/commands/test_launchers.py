"""Hydra's launchers: the same runs with the same numbers, wherever they are started."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

QUICK = (
    "debug=smoke", "logger=local", "threads=1", "evaluation.queries=1", "generation.max_tokens=2", "seed=0,1"
)  # fmt: skip
LAUNCHERS = {
    "basic": (),
    "joblib": ("hydra.launcher.n_jobs=2",),
    "submitit_local": ("hydra.launcher.timeout_min=5",),
    "ray": ("+hydra.launcher.ray.init.num_cpus=2",),
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[list[float]]:
    """The validation losses of the runs one after another, in this machine's one process."""
    return launched(tmp_path_factory.mktemp("basic"), "basic")


def launched(place: Path, launcher: str) -> list[list[float]]:
    command = [sys.executable, "-m", "metadialog", "train", "-m", *QUICK, f"hydra/launcher={launcher}"]
    command += [*LAUNCHERS[launcher], "hydra.sweep.dir=sweep"]
    # Ray starts its workers with a niceness of 15: beside other tests they would hardly get a core.
    environment = {**os.environ, "RAY_worker_niceness": "0"}
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    found = []
    for number in (0, 1):
        run = place / "sweep" / str(number)
        assert json.loads((run / "status.json").read_text())["status"] == "finished"
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        found.append([line["value"] for line in lines if line["name"] == "loss_after"])
    return found


@pytest.mark.parametrize("launcher", [name for name in LAUNCHERS if name != "basic"])
def test_runs_are_the_same_wherever_they_are_started(
    tmp_path: Path, expected: list[list[float]], launcher: str
) -> None:
    found = launched(tmp_path, launcher)
    assert found == expected
    assert found[0] != found[1]
