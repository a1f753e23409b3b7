"""The plan of a sweep from the user's overrides. Requires an initialised Hydra."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from omegaconf import OmegaConf

from metadialog.config import nearest
from metadialog.errors import ConfigError
from metadialog.hydra_internals import ConfigDefault, ConfigLoaderImpl, GlobalHydra, ObjectType, Override, RunMode
from metadialog.sweeps.space import Dimension, search_space

GROUP = "sweep"
SPACES = "sweep/space"

# Options that may differ between two starts of the same sweep.
_FREE = ("sweep.trials", "sweep.jobs", "sweep.retry", "threads", "device", "resume")


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a sweep.

    Attributes:
        dimensions: varied options.
        fixed: overrides of every run.
    """

    dimensions: list[Dimension]
    fixed: list[str]

    def corners(self) -> Iterator[list[str]]:
        """Yield the overrides of extreme runs; if these are valid, all runs are."""
        values = {dimension.key: dimension.extremes() for dimension in self.dimensions}
        first = {key: choices[0] for key, choices in values.items()}
        yield [*self.fixed, *(f"{key}={value}" for key, value in first.items())]
        for key, choices in values.items():
            for choice in choices[1:]:
                yield [*self.fixed, *(f"{k}={v}" for k, v in (first | {key: choice}).items())]


def make_plan(name: str | None, algorithm: str, overrides: Sequence[Override]) -> Plan:
    """Make the plan of a sweep.

    Args:
        name: name of the search space; None for that of the algorithm, or of one that its yaml extends.
        algorithm: the chosen algorithm.
        overrides: overrides of the user.

    Raises:
        ConfigError: the search space does not exist, or something in it is not a sweep.
    """
    mine = [override for override in overrides if not is_about_sweep(override)]
    return Plan(*search_space(_load(name, algorithm), mine))


def is_about_sweep(override: Override) -> bool:
    """Tell whether an override is about the sweep itself rather than its runs."""
    key = override.key_or_group
    return key == GROUP or key.startswith((f"{GROUP}.", f"{GROUP}/", "hydra.", "hydra/"))


def is_free(override: Override) -> bool:
    """Tell whether an override may differ between two starts of the same sweep."""
    return override.key_or_group in _FREE or override.key_or_group.startswith(("hydra.", "hydra/", "logger"))


def _load(name: str | None, algorithm: str) -> Mapping[str, Any]:
    loader = cast("ConfigLoaderImpl", GlobalHydra.instance().config_loader())
    names = loader.get_group_options(SPACES, ObjectType.CONFIG)
    own = next((one for one in _lineage(loader, algorithm) if one in names), None)
    if name is None and own is None:
        raise ConfigError(
            f"sweep.space=null: there is no search space of algorithm={algorithm}; name another as sweep.space=..., "
            f"or write {SPACES}/{algorithm}.yaml into a folder that --config-dir names"
        )
    if name is not None and name not in names:
        raise ConfigError(f"sweep.space={name}: no such search space; {nearest(name, names)}")
    config = loader.load_configuration(f"{SPACES}/{name or own}", [], RunMode.RUN)
    # A config lies where its folder says.
    space: dict[str, Any] = OmegaConf.to_container(config[GROUP].space, resolve=True)  # type: ignore[assignment]
    return space


def _lineage(loader: ConfigLoaderImpl, algorithm: str) -> Iterator[str]:
    """Yield the algorithm's name, and those of the algorithms that its yaml extends."""
    yield algorithm
    result = loader.repository.load_config(f"algorithm/{algorithm}")
    for entry in [] if result is None else result.defaults_list or []:
        if isinstance(entry, ConfigDefault) and not entry.is_self():
            yield from _lineage(loader, str(entry.path))
