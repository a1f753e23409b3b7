"""Execution of a sweep: start trials with a launcher, and record their outcomes."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from metadialog.errors import RunError
from metadialog.sweeps.directory import Record, SweepDirectory
from metadialog.sweeps.identity import Identity
from metadialog.sweeps.outcomes import Outcome, read_outcome
from metadialog.sweeps.plan import Plan
from metadialog.sweeps.progress import Job, Progress
from metadialog.sweeps.settings import Sweep
from metadialog.text import counted

if TYPE_CHECKING:
    import optuna

    from metadialog.sweeps.study import Study

Launch = Callable[[Sequence[Job], Progress], object]
"""Runs jobs, reports each as it ends, and returns when all have ended."""

_log = logging.getLogger(__name__)


class Search:
    """A start of a sweep.

    Attributes:
        sweep: settings of the sweep.
        plan: plan of the sweep.
        identity: identity of the sweep.
        directory: directory of the sweep.
        jobs: number of concurrent runs.
        further: returns additional overrides for a run number.
        launch: runs jobs.
    """

    def __init__(
        self,
        sweep: Sweep,
        plan: Plan,
        identity: Identity,
        directory: SweepDirectory,
        jobs: int,
        further: Callable[[int], Sequence[str]],
        launch: Launch,
    ) -> None:
        self.sweep = sweep
        self.plan = plan
        self.identity = identity
        self.directory = directory
        self.jobs = jobs
        self.further = further
        self.launch = launch

    def run(self, about: Mapping[str, Any]) -> list[Record]:
        """Run all missing trials.

        Args:
            about: description of the sweep, to be written into the directory.

        Returns:
            The trials of this directory.

        Raises:
            ConfigError: the storage cannot be reached.
            RunError: another process is running the sweep, the directory holds another sweep, or nothing can be
                launched.
        """
        from metadialog.sweeps.study import Study

        with self.directory.claimed():
            self.identity.check(self.directory)
            study = Study(self.sweep, self.plan.dimensions, self.directory, self.identity.shared())
            # Only after the study has been checked, so that a refused start does not change the description.
            self.directory.write(
                {
                    **about,
                    "name": self.sweep.title,
                    "fixed": self.plan.fixed,
                    "space": self.identity.space,
                    "options": dict(self.identity.options),
                }
            )
            self._say_grid(study)
            if self.sweep.retry:
                study.enqueue_failed()
            progress = Progress(study.broken_off() + study.missing())
            try:
                self._go_on(study, progress)
                while count := min(self.jobs, study.missing()):
                    batch = study.next_batch()
                    self._run(study, [study.ask(batch) for _ in range(count)], progress)
            finally:
                records = study.records(self.plan.fixed)
                self.directory.write_records(records)
        self._figures(study)
        return records

    def _say_grid(self, study: "Study") -> None:
        if self.sweep.sampler == "grid":
            size = study.grid_size()
            limit = min(size, self.sweep.trials or size)
            _log.info("a grid of %d combinations%s", size, f", of which {limit} are run" if limit < size else "")

    def _go_on(self, study: "Study", progress: Progress) -> None:
        """Resume the unfinished trials of an earlier start."""
        trials = study.unfinished()
        if not trials:
            return
        _log.info("resuming %d interrupted trials", len(trials))
        lacking, batch = study.lacking(self.jobs), max(1, study.next_batch() - 1)
        trials += [study.ask(batch) for _ in range(lacking)]
        for first in range(0, len(trials), self.jobs):
            self._run(study, trials[first : first + self.jobs], progress)

    def _run(self, study: "Study", trials: "Sequence[optuna.Trial]", progress: Progress) -> None:
        jobs = {trial.number: self._job(trial.number, study.values(trial)) for trial in trials}
        waiting = [trial for trial in trials if not self._outcome(trial).is_final]
        for trial in waiting:
            study.announce(trial)
        self.directory.write_records(study.records(self.plan.fixed))
        problem = self._launch([jobs[trial.number] for trial in waiting], progress)
        outcomes = {trial.number: self._outcome(trial) for trial in trials}
        if problem is not None and all(outcomes[trial.number].state == "missing" for trial in waiting):
            raise RunError(f"no run could be launched: {one_line(problem)}") from problem
        for trial in trials:
            study.tell(trial, outcomes[trial.number])
            outcome = outcomes[trial.number]
            if problem is not None and not outcome.is_final:
                outcome = replace(outcome, reason=one_line(problem))
            progress.end(jobs[trial.number], outcome)
        self.directory.write_records(study.records(self.plan.fixed))

    def _outcome(self, trial: "optuna.Trial") -> Outcome:
        return read_outcome(self.directory.run(trial.number))

    def _job(self, number: int, values: Sequence[str]) -> Job:
        overrides = [*self.plan.fixed, *self.further(number), *values, "resume=auto", f"hydra.sweep.subdir={number}"]
        return Job(number, self.directory.run(number), overrides, values)

    def _launch(self, jobs: Sequence[Job], progress: Progress) -> Exception | None:
        """Run jobs; return the launcher's exception, if any. Failed runs raise none, but killed ones may."""
        if not jobs:
            return None
        try:
            self.launch(jobs, progress)
        except Exception as error:  # noqa: BLE001 - each launcher has its own
            _log.debug("the launcher failed", exc_info=error)
            return error
        return None

    def _figures(self, study: "Study") -> None:
        from metadialog.sweeps.figures import write_figures

        write_figures(study.study, self.directory.path)


def summary(records: Sequence[Record]) -> str:
    """Summarise the outcomes of runs on one line."""
    counts = Counter("broken off" if not Outcome(record.state).is_final else record.state for record in records)
    parts = ", ".join(f"{count} {state}" for state, count in counts.most_common())
    best = best_record(records)
    best_so_far = "" if best is None else f"; best validation loss {best.value:.4f}, of run {best.number}"
    return f"{counted(len(records), 'run')}: {parts or 'none'}{best_so_far}"


def best_record(records: Sequence[Record]) -> Record | None:
    """Return the finished trial with the lowest value; None if none has finished."""
    finished = [record for record in records if record.state == "finished" and record.value is not None]
    return min(finished, key=lambda record: record.value or 0.0, default=None)


def one_line(error: BaseException) -> str:
    """Format an exception on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
