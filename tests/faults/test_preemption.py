"""A preempted and requeued job of a cluster ends with the same numbers as an uninterrupted run."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.faults

PATIENCE = 120


def job(directory: Path) -> int:
    """Return the process in which submitit runs a job of a sweep."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_text().split("\0")
            except OSError:  # it has ended
                continue
            if "submitit.core._submit" in words and any(word.startswith(str(directory)) for word in words):
                return int(process.name)
        time.sleep(0.1)
    raise AssertionError(f"no job of {directory} has begun")


def test_a_preempted_job_is_queued_again_and_goes_on(
    start: Callable[..., Any], tiny: tuple[str, ...], read_results: Callable[[Path], dict[str, object]]
) -> None:
    # The last digits depend on the number of threads.
    options = ("train", "-m", "sweep=random", "sweep.trials=1", *tiny, "training.steps=60", "threads=1")
    folder: Path = start.folder  # type: ignore[attr-defined]
    whole = start(*options, f"hydra.sweep.dir={folder / 'whole-job'}")
    assert whole.wait() == 0, whole.said()
    directory = folder / "preempted"
    process = start(*options, "hydra/launcher=submitit_local", f"hydra.sweep.dir={directory}")
    number = job(directory)
    run = directory / "0"
    while not (run / "checkpoints" / "last").exists() and process.is_alive():
        time.sleep(0.01)
    os.kill(number, signal.SIGUSR2)
    while "Preempted" not in str(json.loads((run / "status.json").read_text())["reason"]):
        assert process.is_alive(), "it was not preempted"
        time.sleep(0.01)
    assert process.wait() == 0, process.said()
    assert read_results(run) == read_results(folder / "whole-job" / "0")
