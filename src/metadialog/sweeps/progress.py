"""Progress messages of a sweep: each run as it ends, the number of runs, and the remaining time."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from metadialog.errors import RunError
from metadialog.runs import layout
from metadialog.sweeps.outcomes import Outcome, read_outcome, read_state
from metadialog.text import counted

SECONDS = 1.0
"""Interval between checks of the status of runs in other processes."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """A run of a sweep.

    Attributes:
        number: number of the run in its sweep.
        directory: directory of the run.
        overrides: overrides for the launcher.
        varied: overrides that not all runs have, as typed in a shell.
    """

    number: int
    directory: Path
    overrides: Sequence[str]
    varied: Sequence[str]


class Progress:
    """Reports the outcomes of runs.

    Args:
        total: number of runs, if known.
        clock: returns the time in seconds.
    """

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.ended: dict[int, tuple[Job, Outcome]] = {}
        self._clock = clock
        self._started = clock()

    def end(self, job: Job, outcome: Outcome) -> None:
        """Report the outcome of a run, once."""
        if job.number in self.ended:
            return
        self.ended[job.number] = (job, outcome)
        line = f"#{job.number} {_words(outcome)} ({self._standing()}): {' '.join(job.varied)}"
        if outcome.state in ("finished", "pruned"):
            _log.info("%s", line)
        else:
            _log.warning("%s: %s", line, outcome.reason or "it left no reason")

    @contextmanager
    def watching(self, jobs: Sequence[Job]) -> Iterator[None]:
        """Report outcomes as soon as the status of runs changes, while a launcher waits for all runs."""
        before = {job.number: _changed(job) for job in jobs}
        over = Event()

        def watch() -> None:
            while not over.wait(SECONDS):
                for job in jobs:
                    # An older status belongs to an earlier start.
                    if job.number in self.ended or _changed(job) == before[job.number]:
                        continue
                    with suppress(RunError):  # a damaged status, which is reported at the end
                        if read_state(job.directory).is_final:
                            self.end(job, read_outcome(job.directory))

        thread = Thread(target=watch, name="sweep progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def failures(self) -> list[str]:
        """Return a line for each failed run: its number, varied options and reason."""
        return [
            f"#{job.number} {' '.join(job.varied)}: {outcome.reason or _words(outcome)}"
            for job, outcome in self.ended.values()
            if outcome.state not in ("finished", "pruned")
        ]

    def summary(self) -> str:
        """Return the number of runs by outcome."""
        counts = Counter(_name(outcome) for _, outcome in self.ended.values())
        if self.total > len(self.ended):
            counts["not begun or not ended"] = self.total - len(self.ended)
        return f"{_runs(self.total)}: {', '.join(f'{count} {name}' for name, count in counts.items()) or 'none'}"

    def _standing(self) -> str:
        done = len(self.ended)
        left = self.total - done
        failed = sum(outcome.state == "failed" for _, outcome in self.ended.values())
        parts = [f"{done} of {self.total}", *([f"{failed} failed"] if failed else [])]
        if left > 0:
            parts.append(f"about {duration((self._clock() - self._started) / done * left)} left")
        return ", ".join(parts)


def varied(jobs: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the overrides of each run that are not common to all runs; none for a single run."""
    common = set.intersection(*({*overrides} for overrides in jobs)) if jobs else set()
    return [[override for override in overrides if override not in common] for overrides in jobs]


def duration(seconds: float) -> str:
    """Format a duration, as in 0:05, 12:30 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _runs(count: int) -> str:
    return counted(count, "run")


def _name(outcome: Outcome) -> str:
    return outcome.state if outcome.is_final else "broken off"


def _words(outcome: Outcome) -> str:
    took = "" if outcome.seconds is None else f" after {duration(outcome.seconds)}"
    loss = "" if outcome.value is None else f" at validation loss {outcome.value:.4f}"
    return f"{_name(outcome)}{loss}{took}"


def _changed(job: Job) -> int | None:
    """Return the modification time of a run's status; None if there is none."""
    try:
        return (job.directory / layout.STATUS).stat().st_mtime_ns
    except OSError:
        return None
