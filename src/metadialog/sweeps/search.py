"""The course of a sweep: begin trials, let a launcher run them, and write down what came of them."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from metadialog.errors import RunError
from metadialog.sweeps.directory import Record, SweepDirectory
from metadialog.sweeps.outcomes import Outcome, read_outcome
from metadialog.sweeps.settings import Sweep
from metadialog.sweeps.space import Dimension

if TYPE_CHECKING:
    import optuna

    from metadialog.sweeps.study import Study

Launch = Callable[[Sequence[Sequence[str]], int], object]
"""Runs jobs, each given as overrides, and comes back when all of them have ended; the number is the first one's."""

_log = logging.getLogger(__name__)


class Search:
    """One start of a sweep, or of another part of it.

    Args:
        sweep: what was asked for.
        dimensions: what is varied.
        fixed: the overrides that every run has, and a person would repeat.
        directory: the sweep's.
        jobs: runs at the same time.
        extra: further overrides of every run.
        launch: runs jobs.
    """

    def __init__(
        self,
        sweep: Sweep,
        dimensions: Sequence[Dimension],
        fixed: Sequence[str],
        directory: SweepDirectory,
        jobs: int,
        extra: Sequence[str],
        launch: Launch,
    ) -> None:
        self.sweep = sweep
        self.dimensions = dimensions
        self.fixed = fixed
        self.directory = directory
        self.jobs = jobs
        self.extra = extra
        self.launch = launch

    def run(self, about: Mapping[str, Any]) -> list[Record]:
        """Run what is missing.

        Args:
            about: what was asked for, to be written into the directory.

        Returns:
            The trials of this directory.

        Raises:
            ConfigError: the storage cannot be reached.
            RunError: another process is at work here, the directory holds another sweep, or nothing can be launched.
        """
        from metadialog.sweeps.study import Study

        with self.directory.claimed():
            self._check_same()
            study = Study(self.sweep, self.dimensions, self.directory)
            # Now that the study has agreed: what is refused leaves the description of what is there as it was.
            self.directory.write({**about, "name": self.sweep.name, "fixed": list(self.fixed)})
            self._say_grid(study)
            if self.sweep.retry:
                study.enqueue_failed()
            try:
                self._go_on(study)
                while count := min(self.jobs, study.missing()):
                    batch = study.next_batch()
                    self._run(study, [study.ask(batch) for _ in range(count)])
            finally:
                records = study.records(self.fixed)
                self.directory.write_records(records)
        self._figures(study)
        return records

    def _check_same(self) -> None:
        if not self.directory.exists():
            return
        before, now = sorted(self.directory.read().get("fixed", [])), sorted(self.fixed)
        differing = [line for line in (*before, *now) if (line in before) != (line in now)]
        if differing:
            raise RunError(
                f"{self.directory.path}: holds a sweep of other runs ({', '.join(differing)}); "
                "give this one another sweep.name or hydra.sweep.dir"
            )

    def _say_grid(self, study: "Study") -> None:
        if self.sweep.sampler == "grid":
            size = study.grid_size()
            limit = min(size, self.sweep.trials or size)
            _log.info("a grid of %d combinations%s", size, f", of which {limit} are run" if limit < size else "")

    def _go_on(self, study: "Study") -> None:
        """Bring to its end what an earlier start has begun."""
        trials = study.unfinished()
        if not trials:
            return
        _log.info("%d trials were broken off: they go on", len(trials))
        lacking, batch = study.lacking(self.jobs), max(1, study.next_batch() - 1)
        trials += [study.ask(batch) for _ in range(lacking)]
        for first in range(0, len(trials), self.jobs):
            self._run(study, trials[first : first + self.jobs])

    def _run(self, study: "Study", trials: "Sequence[optuna.Trial]") -> None:
        values = {trial.number: study.values(trial) for trial in trials}
        waiting = [trial for trial in trials if not self._outcome(trial).is_final]
        for trial in waiting:
            study.announce(trial)
        self.directory.write_records(study.records(self.fixed))
        problem = self._launch([self._job(trial.number, values[trial.number]) for trial in waiting], waiting)
        outcomes = {trial.number: self._outcome(trial) for trial in trials}
        if problem is not None and all(outcomes[trial.number].state == "missing" for trial in waiting):
            raise RunError(f"no run could be launched: {_one_line(problem)}") from problem
        for trial in trials:
            study.tell(trial, outcomes[trial.number])
            self._say(trial.number, outcomes[trial.number], values[trial.number], problem)
        self.directory.write_records(study.records(self.fixed))

    def _outcome(self, trial: "optuna.Trial") -> Outcome:
        return read_outcome(self.directory.run(trial.number))

    def _job(self, number: int, values: Sequence[str]) -> list[str]:
        return [*self.fixed, *self.extra, *values, "resume=auto", f"hydra.sweep.subdir={number}"]

    def _launch(self, jobs: list[list[str]], trials: "Sequence[optuna.Trial]") -> Exception | None:
        """Run jobs; return what a launcher raises: runs that fail do not, but those that are killed may."""
        if not jobs:
            return None
        try:
            self.launch(jobs, trials[0].number)
        except Exception as error:  # noqa: BLE001 - each launcher has its own
            _log.debug("the launcher failed", exc_info=error)
            return error
        return None

    def _say(self, number: int, outcome: Outcome, values: Sequence[str], problem: Exception | None) -> None:
        value = "" if outcome.value is None else f" at {outcome.value:.4f}"
        reason = outcome.reason or (_one_line(problem) if problem and not outcome.is_final else None)
        said = "" if reason is None else f" ({reason})"
        state = "broken off" if not outcome.is_final else outcome.state
        _log.info("trial %d: %s%s%s: %s", number, state, value, said, " ".join(values))

    def _figures(self, study: "Study") -> None:
        from metadialog.sweeps.figures import write_figures

        write_figures(study.study, self.directory.path)


def summary(records: Sequence[Record]) -> str:
    """Say in one line what came of the trials."""
    counts = Counter("broken off" if not Outcome(record.state).is_final else record.state for record in records)
    parts = ", ".join(f"{count} {state}" for state, count in counts.most_common())
    best = best_record(records)
    found = "" if best is None else f"; best validation loss {best.value:.4f}, of trial {best.number}"
    return f"{len(records)} trials: {parts or 'none'}{found}"


def best_record(records: Sequence[Record]) -> Record | None:
    """Return the finished trial with the lowest value; None if none has finished."""
    finished = [record for record in records if record.state == "finished" and record.value is not None]
    return min(finished, key=lambda record: record.value or 0.0, default=None)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
