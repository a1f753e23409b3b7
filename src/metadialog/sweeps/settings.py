"""The settings of a sweep, set in `conf/sweep`."""

from typing import Annotated, Literal

from annotated_types import Ge, Le, Lt, MinLen
from pydantic import Field

from metadialog.errors import ConfigError
from metadialog.extras import need
from metadialog.sweeps.storage import check_url


class Sweep:
    """A search over runs.

    Args:
        name: name of the sweep and its study; None to derive it from the overrides.
        space: name of the search space; None for that of the algorithm.
        trials: total number of trials, including failed ones; None for all of a grid.
        jobs: number of concurrent runs; None for the launcher's default.
        storage: URL of the storage of the study; None for a SQLite file in the sweep's directory.
        sampler: how values are chosen.
        startup_trials: number of random trials of `tpe`.
        points: number of values of each interval for `grid`.
        pruner: how bad runs are detected while they run.
        prune_after_trials: number of trials that are not pruned.
        prune_after_step: number of outer steps before a trial may be pruned.
        seed: seed of the sampler.
        retry: whether to repeat failed trials with the same values.

    Raises:
        ConfigError: Optuna or the client of the storage is not installed, or options are incompatible.
    """

    def __init__(
        self,
        *,
        name: Annotated[str, Field(pattern=r"^[\w.][\w.-]*$", max_length=200)] | None,
        space: Annotated[str, MinLen(1)] | None,
        trials: Annotated[int, Ge(1), Le(1_000_000)] | None,
        jobs: Annotated[int, Ge(1), Le(10_000)] | None,
        storage: Annotated[str, MinLen(1)] | None,
        sampler: Literal["tpe", "random", "grid"],
        startup_trials: Annotated[int, Ge(0), Le(10**6)],
        points: Annotated[int, Ge(1), Le(10**6)],
        pruner: Literal["median", "none"],
        prune_after_trials: Annotated[int, Ge(0), Le(10**6)],
        prune_after_step: Annotated[int, Ge(0), Le(10**9)],
        seed: Annotated[int, Ge(0), Lt(2**32)],
        retry: bool,
    ) -> None:
        need("optuna", "optuna", "sweep")
        if trials is None and sampler != "grid":
            raise ConfigError(f"sweep.trials=null: sweep.sampler={sampler} has no end of its own; give a number")
        if storage is not None:
            check_url(storage)
        self.name = name or "sweep"
        self.space = space
        self.trials = trials
        self.jobs = jobs
        self.storage = storage
        self.sampler: Literal["tpe", "random", "grid"] = sampler
        self.startup_trials = startup_trials
        self.points = points
        self.pruner: Literal["median", "none"] = pruner
        self.prune_after_trials = prune_after_trials
        self.prune_after_step = prune_after_step
        self.seed = seed
        self.retry = retry
