"""`resume=auto`: resume the run in a directory, or start it if there is none.

A run can thus be started any number of times, by a resumed sweep or by a batch system that requeues it, and its work is
done once. Processes with the same run wait for each other.
"""

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from filelock import FileLock, Timeout

from metadialog.composing.earlier_run import AUTO
from metadialog.config import complete
from metadialog.errors import PrunedError, RunError, Terminated
from metadialog.runs import layout
from metadialog.runs.reading import is_there
from metadialog.runs.run_directory import RunDirectory
from metadialog.sweeps.outcomes import read_outcome
from metadialog.training.resume import differences

__all__ = ["AUTO", "Preempted", "check_same_results", "holds_run", "run_what_is_missing", "started_again"]

# Options of where and how a run computes and reports; results do not depend on them.
_WITHOUT_EFFECT = ("resume", "logger", "device", "threads", "cache")

# Files of a run that was interrupted before its first checkpoint.
_LEFTOVERS = (layout.STATUS, layout.SCALARS, layout.CONFIG)


class Preempted(Terminated):
    """The batch system reclaims the machine and requeues the job."""


def started_again() -> bool:
    """Tell whether this is a submitit job, which the batch system may have started before."""
    return "SUBMITIT_EXECUTOR" in os.environ


def holds_run(directory: Path) -> bool:
    """Tell whether a directory holds a run."""
    return is_there(directory / layout.STATUS)


def check_same_results(directory: Path, config: Mapping[str, Any]) -> None:
    """Check that the run in a directory is the one that a config describes.

    Raises:
        RunError: it is another one; the message names the differences.
    """
    differing = [
        f"{path} is {new!r} but was {old!r}"
        for path, old, new in differences(complete(RunDirectory(directory).read_config()), config)
        if path.partition(".")[0] not in _WITHOUT_EFFECT
    ]
    if differing:
        raise RunError(f"{directory}: already holds another run: {'; '.join(differing)}; name another directory")


def run_what_is_missing(directory: Path, run: Callable[[str | None], None]) -> None:
    """Run an experiment, or what is left of it.

    Args:
        directory: directory of the run.
        run: runs it; called with the directory to resume from, or None for a new run.

    Raises:
        PrunedError: the run had been pruned.
    """
    if read_outcome(directory).state == "finished":
        return
    with _alone(directory), requeueing():
        outcome = read_outcome(directory)
        if outcome.state == "finished":
            return
        if outcome.state == "pruned":
            raise PrunedError(str(outcome.reason))
        from metadialog.training.checkpoint import latest_checkpoint  # imports torch

        checkpoints = directory / layout.CHECKPOINTS
        if latest_checkpoint(checkpoints / layout.LAST, checkpoints / layout.BEST) is not None:
            run(str(directory))
            return
        for name in _LEFTOVERS:
            (directory / name).unlink(missing_ok=True)
        run(None)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Wait until no other process is working on this run."""
    directory.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory / layout.LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"{directory}: another process is working on this run; waiting for it to end")  # noqa: T201
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def requeueing() -> Iterator[None]:
    """Stop the run properly on submitit's signal, as on Ctrl-C, before the job is requeued.

    submitit's own handler would end the process immediately.
    """
    number = _signal()
    before = signal.getsignal(number) if number is not None else None
    if number is None or not callable(before):
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - so it is called
        raise Preempted(f"by signal {number}")

    signal.signal(number, stop)
    try:
        yield
    except Preempted:
        before(number, None)
        raise
    finally:
        signal.signal(number, before)


def _signal() -> signal.Signals | None:
    """Return the signal that submitit sends before it ends a job; None outside submitit."""
    if "SUBMITIT_EXECUTOR" not in os.environ:
        return None
    result: signal.Signals | None = getattr(signal, f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}", None)
    return result
