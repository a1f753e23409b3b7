"""Hydra's composition errors, in one line that names the nearest valid names."""

from collections.abc import Mapping
from typing import Any

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf

from metadialog.config import nearest, unknown_option
from metadialog.errors import ConfigError


def explain(error: Exception, config_name: str, overrides: list[str]) -> ConfigError:
    """Turn an error of composition into one line for the user, by looking for the override that caused it.

    Needs an initialised Hydra.
    """
    for line in overrides:
        try:
            override = OverridesParser.create().parse_override(line)
        except HydraException as cause:
            return ConfigError(f"{line!r} cannot be read as key=value: {_first_line(cause)}")
        problem = _choice_problem(override) or _option_problem(override, config_name, overrides)
        if problem:
            return ConfigError(problem)
    return ConfigError(_first_line(error))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _groups() -> list[str]:
    found = GlobalHydra.instance().config_loader().list_groups("")
    return [group for group in found if group != "hydra"]


def _choice_problem(override: Override) -> str | None:
    """Name what is wrong with `group=choice`, if that is what the override is."""
    group = override.key_or_group
    choices = GlobalHydra.instance().config_loader().get_group_options(group, results_filter=ObjectType.CONFIG)
    if not choices or override.is_delete() or override.is_sweep_override():
        return None
    value = override.value()
    wrong = [v for v in (value if isinstance(value, list) else [value]) if v is not None and v not in choices]
    return f"{group}={wrong[0]}: no such choice; {nearest(str(wrong[0]), choices)}" if wrong else None


def _option_problem(override: Override, config_name: str, overrides: list[str]) -> str | None:
    """Name what is wrong with `path.to.option=value`, if the option does not exist."""
    key = override.key_or_group
    if override.is_sweep_override():
        return f"{override.input_line}: several values are a sweep; add -m to run a job for each, or write {key}=[...]"
    if override.is_add() or key.startswith("hydra"):
        return None
    config = OmegaConf.to_container(compose(config_name, _choices_of(overrides)))
    leaves = _paths(config)  # type: ignore[arg-type]
    if key in leaves or override.is_delete():
        return None
    parent = key.rpartition(".")[0]
    siblings = [name for name in _children(leaves, parent) if name != "_target_"]
    if not siblings:
        roots = _children(leaves, "")
        return f"{key}: no such option; {nearest(key.partition('.')[0], {*roots, *_groups()} - {'_target_'})}"
    return unknown_option(key, siblings, [leaf for leaf in leaves if not leaf.endswith("_target_")])


def _choices_of(overrides: list[str]) -> list[str]:
    """Keep the overrides that choose a file in a group: they decide which options there are."""
    loader = GlobalHydra.instance().config_loader()
    parsed = (OverridesParser.create().parse_override(line) for line in overrides)
    chosen = (o for o in parsed if loader.get_group_options(o.key_or_group) and not o.is_sweep_override())
    return [o.input_line or "" for o in chosen]


def _paths(node: Mapping[str, Any], path: str = "") -> list[str]:
    found = []
    for name, value in node.items():
        here = f"{path}.{name}" if path else str(name)
        found.append(here)
        if isinstance(value, Mapping):
            found += _paths(value, here)
    return found


def _children(paths: list[str], parent: str) -> list[str]:
    prefix = f"{parent}." if parent else ""
    return [p[len(prefix) :] for p in paths if p.startswith(prefix) and "." not in p[len(prefix) :]]
