"""`resume=auto`: a job goes on with what it finds in its own directory, and begins where there is nothing.

So a job may be started any number of times, by a sweep that goes on or by a batch system that puts it back into its
queue: it runs once. Several processes with the same job wait for each other.
"""

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from filelock import FileLock, Timeout

from metadialog.config import show
from metadialog.errors import PrunedError, RunError, Terminated
from metadialog.runs import layout
from metadialog.runs.config_file import flat, read_config
from metadialog.sweeps.identity import differences
from metadialog.sweeps.outcomes import read_outcome
from metadialog.training.resume import FREE

AUTO = "auto"

# Of a run that was broken off before its first checkpoint.
_LEFTOVERS = (layout.STATUS, layout.METRICS, layout.CONFIG)


class Preempted(Terminated):
    """The batch system wants the machine back; the job is put into its queue again."""


def goes_on(config: Mapping[str, Any], *, multirun: bool) -> bool:
    """Say whether a job takes up what it finds: if it is asked to, or if submitit may have started it before."""
    if "resume" not in config:
        return False
    return config["resume"] == AUTO or (config["resume"] is None and multirun and "SUBMITIT_EXECUTOR" in os.environ)


def go_on(config: Mapping[str, Any], directory: Path, run: Callable[[Mapping[str, Any]], Any]) -> Any:  # noqa: ANN401
    """Run a job, or the rest of it, or nothing if it is done.

    Args:
        config: the job's, resolved.
        directory: the run's.
        run: what is done with the config; its `resume` names the directory where there is something to go on with.

    Returns:
        What the run returns; the best validation loss if it was done before.

    Raises:
        PrunedError: the run was pruned before.
        RunError: the directory holds another run.
    """
    with _alone(directory), requeueing():
        outcome = read_outcome(directory)
        _check_same(directory, config)
        if outcome.state == "finished":
            return outcome.value
        if outcome.state == "pruned":
            raise PrunedError(str(outcome.reason))
        checkpoints = directory / layout.CHECKPOINTS
        if (checkpoints / layout.LAST).exists() or (checkpoints / layout.BEST).exists():
            return run({**config, "resume": str(directory)})
        for name in _LEFTOVERS:
            (directory / name).unlink(missing_ok=True)
        return run({**config, "resume": None})


def _check_same(directory: Path, config: Mapping[str, Any]) -> None:
    """Check that what a job finds in its directory is the same job; what another version does not know is left out.

    Raises:
        RunError: it is another.
    """
    if not (directory / layout.CONFIG).exists():
        return
    before, now = flat(read_config(directory / layout.CONFIG)), flat(config)
    same = [key for key in before if key in now and not any(key == f or key.startswith(f"{f}.") for f in FREE)]
    differing = differences({key: show(before[key]) for key in same}, {key: show(now[key]) for key in same})
    if differing:
        raise RunError(f"{directory}: holds a run with other options ({differing}); name another directory")


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Wait until no other process is at work on this run."""
    directory.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory / layout.LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"{directory}: another process is at work on this run: waiting for its end")  # noqa: T201
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def requeueing() -> Iterator[None]:
    """Let submitit's signal unwind the run like Ctrl-C, and only then put the job back into the queue.

    submitit's own handler would end the process where it stands.
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
    """Return the signal that submitit sends before it ends a job; None in any other job."""
    if "SUBMITIT_EXECUTOR" not in os.environ:
        return None
    found: signal.Signals | None = getattr(signal, f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}", None)
    return found
