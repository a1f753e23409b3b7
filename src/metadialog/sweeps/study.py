"""The Optuna study of a sweep, with its trials and the choice of new ones."""

import itertools
import math
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from metadialog.errors import RunError
from metadialog.sweeps.directory import Record, SweepDirectory
from metadialog.sweeps.identity import differences, other_space
from metadialog.sweeps.outcomes import Outcome, read_outcome
from metadialog.sweeps.settings import Sweep
from metadialog.sweeps.space import Dimension
from metadialog.sweeps.storage import STORAGE, absolute, open_storage, sqlite_url
from metadialog.sweeps.trial import make_pruner, write_trial

# Attributes of trials and studies.
DIRECTORY, HOST, BATCH, REASON, RETRY = "directory", "host", "batch", "reason", "retry_of"
SPACE, OPTIONS = "space", "options"

_STATES = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


class Study:
    """The trials of a sweep, which machines may share by a common storage.

    Args:
        sweep: settings of the sweep.
        dimensions: varied options.
        directory: directory of the sweep on this machine.
        options: common options of all runs, which must be equal on all machines that share the study.

    Raises:
        ConfigError: the storage cannot be reached.
        RunError: a different study of this name exists.
    """

    def __init__(
        self, sweep: Sweep, dimensions: Sequence[Dimension], directory: SweepDirectory, options: Mapping[str, str]
    ) -> None:
        self._sweep = sweep
        self._dimensions = dimensions
        self._directory = directory
        self._url = absolute(sweep.storage) if sweep.storage else sqlite_url(directory.database)
        os.environ[STORAGE] = self._url  # for the runs, here and in child processes
        self._pruner = {"kind": sweep.pruner, "trials": sweep.prune_after_trials, "step": sweep.prune_after_step}
        self.study = optuna.create_study(
            storage=open_storage(self._url),
            study_name=sweep.title,
            pruner=make_pruner(sweep.pruner, sweep.prune_after_trials, sweep.prune_after_step),
            load_if_exists=True,
        )
        self._agree_on_space()
        self._agree_on_options(options)
        if sweep.sampler == "grid":
            self._enqueue_grid()

    def _agree_on_space(self) -> None:
        space = sorted(repr(dimension) for dimension in self._dimensions)
        before = self.study.user_attrs.get(SPACE, space)
        if before != space:
            raise RunError(
                f"sweep.name={self._sweep.title}: this study exists already, and {other_space(before, space)}; give "
                "this one another name"
            )
        if SPACE not in self.study.user_attrs:
            self.study.set_user_attr(SPACE, space)

    def _agree_on_options(self, options: Mapping[str, str]) -> None:
        before = self.study.user_attrs.get(OPTIONS)
        if before is None:  # a new study, or one of version 0.1.0, whose directory has been checked
            self.study.set_user_attr(OPTIONS, dict(options))
        elif differing := differences(before, options):
            raise RunError(
                f"sweep.name={self._sweep.title}: this study exists already, and has other runs ({differing}); give "
                "this one another name"
            )

    def _enqueue_grid(self) -> None:
        """Enqueue every combination once."""
        grid = itertools.product(*(dimension.points(self._sweep.points) for dimension in self._dimensions))
        keys = [dimension.key for dimension in self._dimensions]
        known = {tuple(trial.system_attrs.get("fixed_params", {}).get(key) for key in keys) for trial in self._all()}
        for combination in itertools.islice(grid, self._sweep.trials):
            if combination not in known:
                self.study.enqueue_trial(dict(zip(keys, combination, strict=True)))

    def grid_size(self) -> int:
        """Return the number of combinations of a grid."""
        return math.prod(len(dimension.points(self._sweep.points)) for dimension in self._dimensions)

    def _all(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def own(self) -> list[FrozenTrial]:
        """Return the trials of this directory."""
        shared = self._sweep.storage is not None
        begun = [trial for trial in self._all() if trial.state != TrialState.WAITING]
        return [trial for trial in begun if not shared or self._is_own(trial)]

    def _is_own(self, trial: FrozenTrial) -> bool:
        here = str(self._directory.run(trial.number).absolute())
        return trial.user_attrs.get(DIRECTORY) == here and trial.user_attrs.get(HOST) in (None, socket.gethostname())

    def broken_off(self) -> int:
        """Return the number of unfinished trials of this directory."""
        return sum(trial.state == TrialState.RUNNING for trial in self.own())

    def unfinished(self) -> list[optuna.Trial]:
        """Return the unfinished trials of this directory, of an interrupted start."""
        return [self._go_on(trial) for trial in self.own() if trial.state == TrialState.RUNNING]

    def _go_on(self, trial: FrozenTrial) -> optuna.Trial:
        # With the sampler that it was started with, in case it has not drawn all of its values.
        self.study.sampler = _sampler(self._sweep, trial.number)
        return optuna.Trial(self.study, trial._trial_id)  # noqa: SLF001 - as Optuna's own ask does

    def lacking(self, jobs: int) -> int:
        """Return the number of trials that are missing in the last batch of an interrupted start."""
        begun = self.own()
        if not any(trial.state == TrialState.RUNNING for trial in begun):
            return 0
        last: int = max(trial.user_attrs.get(BATCH, 0) for trial in begun)
        size = len([trial for trial in begun if trial.user_attrs.get(BATCH, last) == last])
        return max(0, min(self.missing(), jobs - size))

    def enqueue_failed(self) -> None:
        """Enqueue the values of failed trials again."""
        retried = {trial.user_attrs.get(RETRY) for trial in self._all()}
        for trial in self.own():
            if trial.state == TrialState.FAIL and trial.number not in retried:
                self.study.enqueue_trial(trial.params, user_attrs={RETRY: trial.number})

    def missing(self) -> int:
        """Return the number of trials that have not been started."""
        trials = self._all()
        waiting = sum(trial.state == TrialState.WAITING for trial in trials)
        if self._sweep.trials is None:
            return waiting
        retried = {trial.user_attrs[RETRY] for trial in trials if RETRY in trial.user_attrs}
        begun = sum(trial.state != TrialState.WAITING and trial.number not in retried for trial in trials)
        left = max(0, self._sweep.trials - begun)
        return min(left, waiting) if self._sweep.sampler == "grid" else left

    def next_batch(self) -> int:
        """Return the number of the next batch of trials."""
        return 1 + max((trial.user_attrs.get(BATCH, 0) for trial in self.own()), default=0)

    def ask(self, batch: int) -> optuna.Trial:
        """Start a trial. Its values depend only on the seed and the trials so far, not on interruptions.

        Args:
            batch: number of its batch.
        """
        self.study.sampler = _sampler(self._sweep, len(self._all()))
        trial = self.study.ask()
        trial.set_user_attr(BATCH, batch)
        trial.set_user_attr(HOST, socket.gethostname())
        trial.set_user_attr(DIRECTORY, str(self._directory.run(trial.number).absolute()))
        return trial

    def values(self, trial: optuna.Trial) -> list[str]:
        """Return the varied overrides of the trial; values that were drawn before are kept."""
        return [f"{dimension.key}={dimension.suggest(trial)}" for dimension in self._dimensions]

    def announce(self, trial: optuna.Trial) -> None:
        """Write the identity of the trial to the run's directory."""
        path = self._directory.run(trial.number)
        write_trial(path, self._url, self._sweep.title, trial._trial_id, self._pruner)  # noqa: SLF001 - there is no other way to it

    def tell(self, trial: optuna.Trial, outcome: Outcome) -> None:
        """Record the outcome of a trial, if it has ended."""
        if not outcome.is_final:
            return
        value, state = outcome.value, _STATES[outcome.state]
        if state == TrialState.COMPLETE and value is None:
            state, outcome = TrialState.FAIL, Outcome("failed", None, "no validation loss was a finite number")
        if outcome.reason is not None:
            trial.set_user_attr(REASON, outcome.reason)
        self.study.tell(trial, value if state == TrialState.COMPLETE else None, state, skip_if_finished=True)

    def records(self, fixed: Sequence[str]) -> list[Record]:
        """Return the records of this directory's trials.

        Args:
            fixed: overrides of every run.
        """
        return [self._record(trial, fixed) for trial in self.own()]

    def _record(self, trial: FrozenTrial, fixed: Sequence[str]) -> Record:
        outcome = read_outcome(self._directory.run(trial.number))
        if trial.state == TrialState.FAIL and outcome.state != "failed":
            outcome = replace(outcome, state="failed", reason=trial.user_attrs.get(REASON))
        own = [f"{key}={_text(trial, key)}" for key in trial.params]
        name = self._directory.run(trial.number).name
        return Record(trial.number, outcome.state, outcome.value, name, [*fixed, *own], outcome.reason, outcome.seconds)


def _text(trial: FrozenTrial, key: str) -> str:
    value, distribution = trial.params[key], trial.distributions[key]
    if isinstance(distribution, CategoricalDistribution):
        return str(value)
    if not isinstance(distribution, (FloatDistribution, IntDistribution)):
        raise TypeError(f"{key}: {distribution} is not a distribution of this program's sweeps")
    return repr(value)


def _sampler(sweep: Sweep, trials: int) -> BaseSampler:
    """Return the sampler of the next trial."""
    seed = int(np.random.SeedSequence([sweep.seed, trials]).generate_state(1)[0])
    if sweep.sampler == "tpe":
        return TPESampler(n_startup_trials=sweep.startup_trials, seed=seed)
    return RandomSampler(seed=seed)
