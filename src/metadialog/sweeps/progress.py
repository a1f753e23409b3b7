"""What is said of the runs of a sweep while they run: each as it ends, how many there are, and the time left."""

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
"""Between two looks at the status of the runs that other processes work on."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a sweep.

    Attributes:
        number: of the run in its sweep.
        directory: of the run.
        overrides: all that the launcher is given.
        varied: those that not all runs have, as a person types them.
    """

    number: int
    directory: Path
    overrides: Sequence[str]
    varied: Sequence[str]


class Progress:
    """Says what comes of runs.

    Args:
        total: the number of runs, as far as it is known.
        clock: returns seconds.
    """

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.ended: dict[int, tuple[Job, Outcome]] = {}
        self._clock = clock
        self._started = clock()

    def end(self, job: Job, outcome: Outcome) -> None:
        """Say what came of a run; of each run once."""
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
        """Say what comes of runs as soon as their status does, while a launcher waits for all of them."""
        before = {job.number: _changed(job) for job in jobs}
        over = Event()

        def watch() -> None:
            while not over.wait(SECONDS):
                for job in jobs:
                    # A status from before is that of an earlier start.
                    if job.number in self.ended or _changed(job) == before[job.number]:
                        continue
                    with suppress(RunError):  # of a damaged status: it is told at the end of all
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
        """Return a line for each run that came to no good end: its number, what it varied, and why."""
        return [
            f"#{job.number} {' '.join(job.varied)}: {outcome.reason or _words(outcome)}"
            for job, outcome in self.ended.values()
            if outcome.state not in ("finished", "pruned")
        ]

    def summary(self) -> str:
        """Return how many runs came to which end."""
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
    """Return of each run's overrides those that not all runs have in common; of a single run, none."""
    common = set.intersection(*({*overrides} for overrides in jobs)) if jobs else set()
    return [[override for override in overrides if override not in common] for overrides in jobs]


def duration(seconds: float) -> str:
    """Write a duration, as in 0:05, 12:30 or 1:02:03."""
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
    """Return when a run's status was written last; None if it has none."""
    try:
        return (job.directory / layout.STATUS).stat().st_mtime_ns
    except OSError:
        return None
