"""Progress messages of a running sweep."""

import json
import logging
import threading
from pathlib import Path

import pytest

from metadialog.sweeps import progress as module
from metadialog.sweeps.outcomes import Outcome
from metadialog.sweeps.progress import Job, Progress, duration, varied


def job(place: Path, number: int) -> Job:
    return Job(number, place / str(number), ["seed=0", f"sampler.shots={number}"], [f"sampler.shots={number}"])


def write_status(job: Job, state: str, reason: str | None = None) -> None:
    job.directory.mkdir(exist_ok=True)
    times = {"started": "2026-01-01T00:00:00+00:00", "ended": "2026-01-01T00:01:05+00:00"}
    (job.directory / "status.json").write_text(json.dumps({"status": state, "reason": reason, **times}))


def test_each_run_is_told_with_progress_and_the_time_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    times = iter([0.0, 10.0, 20.0, 30.0])
    progress = Progress(4, clock=lambda: next(times))
    progress.end(job(tmp_path, 0), Outcome("finished", 2.5, None, 9.6))
    progress.end(job(tmp_path, 1), Outcome("failed", None, "DataError: too few", 1.0))
    progress.end(job(tmp_path, 1), Outcome("finished", 1.0))  # reported once
    progress.end(job(tmp_path, 2), Outcome("running"))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "#0 finished at validation loss 2.5000 after 0:10 (1 of 4, about 0:30 left): sampler.shots=0"),
        (
            "WARNING",
            "#1 failed after 0:01 (2 of 4, 1 failed, about 0:20 left): sampler.shots=1: DataError: too few",
        ),
        (
            "WARNING",
            "#2 broken off (3 of 4, 1 failed, about 0:10 left): sampler.shots=2: it left no reason",
        ),
    ]
    assert progress.summary() == "4 runs: 1 finished, 1 failed, 1 broken off, 1 not begun or not ended"
    assert progress.failures() == ["#1 sampler.shots=1: DataError: too few", "#2 sampler.shots=2: broken off"]


def test_a_failure_is_told_while_other_runs_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.01)
    told = threading.Event()
    jobs = [job(tmp_path, number) for number in range(3)]
    write_status(jobs[0], "failed", "OSError: of an earlier start")
    progress = Progress(3)
    with progress.watching(jobs):
        write_status(jobs[2], "running")
        write_status(jobs[1], "failed", "DataError: too few")
        for _ in range(1000):
            if caplog.records or told.wait(0.01):
                break
        assert [record.getMessage() for record in caplog.records] == [
            "#1 failed after 1:05 (1 of 3, 1 failed, about 0:00 left): sampler.shots=1: DataError: too few"
        ]
    assert set(progress.ended) == {1}


def test_what_varies() -> None:
    assert varied([["a=1", "b=1"], ["a=1", "b=2"]]) == [["b=1"], ["b=2"]]
    assert varied([["a=1"]]) == [[]]
    assert varied([]) == []


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (65, "1:05"), (3600, "1:00:00"), (90061, "25:01:01")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
