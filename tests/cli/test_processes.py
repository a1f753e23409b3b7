"""`torchrun -m metadialog train` with two processes, resumed with one."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from metadialog.cli import processes
from metadialog.cli.command_line import CommandLine
from metadialog.errors import ConfigError
from metadialog.training.launch import RankInfo

Run = Callable[..., Any]
OPTIONS = ("debug=smoke", "logger=local", "dtype=float64", "training.meta_batch=3", "training.steps=4")


def metrics(directory: Path) -> dict[tuple[int, str], float]:
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return {(m["step"], f"{m['split']} {m['name']}"): m["value"] for m in lines if m["name"] != "tasks_per_second"}


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Start two processes, with a free port."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-endpoint=127.0.0.1:0"]
    command += ["--rdzv-backend=c10d", "-m", "metadialog", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_two_processes_then_one_are_one_run(run: Run) -> None:
    """A run whose first half has two processes and whose second half has one gives the numbers of one process."""
    whole = run("train", *OPTIONS).run_directory
    begun = torchrun("train", *OPTIONS, "training.steps=2")
    assert begun.returncode == 0, begun.stderr
    assert begun.stdout.count("2 processes share each meta-batch") == 1
    [shared] = [path for path in whole.parent.iterdir() if path.name != whole.name]
    assert begun.stdout.count(f"run directory: {shared.absolute()}") == 1
    assert {path.name for path in shared.iterdir()} == {path.name for path in whole.iterdir()}
    resumed = run("train", f"resume={shared}", "training.steps=4")
    assert resumed.code == 0, resumed.err
    assert metrics(shared) == pytest.approx(metrics(whole), rel=1e-10)
    expected, found = (pd.read_parquet(directory / "adaptation.parquet") for directory in (whole, shared))
    pd.testing.assert_frame_equal(expected, found, rtol=1e-9)
    assert (whole / "samples.jsonl").read_bytes() == (shared / "samples.jsonl").read_bytes()


def test_what_one_process_does_is_not_for_two(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    outcome = run("data")
    assert outcome.code == 2
    assert outcome.err == (
        "metadialog data: data runs in one process, but 2 were started; leave out torchrun or srun\n"
    )
    with pytest.raises(ConfigError, match="-m starts its runs by itself"):
        processes.check("train", CommandLine.parse(["-m", "seed=0,1"]), RankInfo(0, 2, 0))
    assert not Path("outputs").exists()
    assert os.environ["RANK"] == "0"
