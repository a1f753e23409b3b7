"""The settings of a sweep, set in `conf/sweep`."""

from typing import Annotated, Literal

from annotated_types import Ge, Le, Lt, MinLen
from pydantic import Field

from metadialog.errors import ConfigError
from metadialog.extras import need
from metadialog.options import FROM_YAML, Options
from metadialog.sweeps.storage import check_url


class Sweep(Options):
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

    name: Annotated[str, Field(pattern=r"^[\w.][\w.-]*$", max_length=200)] | None = FROM_YAML
    space: Annotated[str, MinLen(1)] | None = FROM_YAML
    trials: Annotated[int, Ge(1), Le(1_000_000)] | None = FROM_YAML
    jobs: Annotated[int, Ge(1), Le(10_000)] | None = FROM_YAML
    storage: Annotated[str, MinLen(1)] | None = FROM_YAML
    sampler: Literal["tpe", "random", "grid"] = FROM_YAML
    startup_trials: Annotated[int, Ge(0), Le(10**6)] = FROM_YAML
    points: Annotated[int, Ge(1), Le(10**6)] = FROM_YAML
    pruner: Literal["median", "none"] = FROM_YAML
    prune_after_trials: Annotated[int, Ge(0), Le(10**6)] = FROM_YAML
    prune_after_step: Annotated[int, Ge(0), Le(10**9)] = FROM_YAML
    seed: Annotated[int, Ge(0), Lt(2**32)] = FROM_YAML
    retry: bool = FROM_YAML

    def __post_init__(self) -> None:
        """Check the options."""
        need("optuna", "optuna", "sweep")
        if self.trials is None and self.sampler != "grid":
            raise ConfigError(f"sweep.trials=null: sweep.sampler={self.sampler} has no end of its own; give a number")
        if self.storage is not None:
            check_url(self.storage)

    @property
    def title(self) -> str:
        """The name of the sweep, or `sweep`."""
        return self.name or "sweep"
