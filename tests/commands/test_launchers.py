"""All of Hydra's launchers give runs with the same numbers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import metadialog as md

QUICK = (
    "debug=smoke", "logger=local", "threads=1", "evaluation.queries=1", "generation.max_tokens=2", "sampler.shots=2",
    "sampler.queries=2", "training.meta_batch=2",
)  # fmt: skip
LAUNCHERS = {
    "joblib": ("hydra.launcher.n_jobs=2",),
    "submitit_local": ("hydra.launcher.timeout_min=5",),
    "ray": ("+hydra.launcher.ray.init.num_cpus=2",),
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[list[float]]:
    """The validation losses of the runs, executed one after another in this process."""
    folder = tmp_path_factory.mktemp("here")
    return [
        validation_losses(md.compose("train", [*QUICK, f"seed={seed}"]).run(folder / str(seed)).path) for seed in (0, 1)
    ]


def validation_losses(run: Path) -> list[float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["value"] for line in lines if line["name"] == "loss_after"]


def launched(place: Path, launcher: str) -> list[list[float]]:
    command = [sys.executable, "-m", "metadialog", "train", "-m", *QUICK, "seed=0,1", f"hydra/launcher={launcher}"]
    command += [*LAUNCHERS[launcher], "hydra.sweep.dir=sweep"]
    # Ray starts its workers with a niceness of 15, so they would hardly get a core while other tests run.
    environment = {**os.environ, "RAY_worker_niceness": "0"}
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = [place / "sweep" / str(number) for number in (0, 1)]
    assert [json.loads((run / "status.json").read_text())["status"] for run in runs] == ["finished"] * 2
    assert not list(place.rglob("*%j*")), "a name for a batch system to fill in"
    return [validation_losses(run) for run in runs]


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_runs_are_the_same_wherever_they_are_started(
    tmp_path: Path, expected: list[list[float]], launcher: str
) -> None:
    found = launched(tmp_path, launcher)
    assert found == expected
    assert found[0] != found[1]
