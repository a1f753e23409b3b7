"""One-line messages for Hydra's composition errors, with suggestions."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from omegaconf import OmegaConf

from metadialog.config import nearest, show, unknown_option
from metadialog.errors import ConfigError
from metadialog.hydra_internals import (
    GlobalHydra,
    HydraException,
    ObjectType,
    Override,
    OverridesParser,
    compose,
)
from metadialog.overrides import typed


def check_choices(overrides: list[str]) -> None:
    """Check every `group=choice`, as Hydra ignores unknown choices of optional groups. Requires an initialised Hydra.

    Raises:
        ConfigError: the choice does not exist.
    """
    for override in _parsed(overrides):
        problem = _choice_problem(override)
        if problem:
            raise ConfigError(problem)


def explain(error: Exception, config_name: str, overrides: list[str]) -> ConfigError:
    """Convert a composition error to a message that names the wrong override. Requires an initialised Hydra."""
    for line in overrides:
        try:
            override = OverridesParser.create().parse_override(line)
        except HydraException as cause:
            return ConfigError(_grammar_problem(line, cause))
        problem = _choice_problem(override) or _option_problem(override, config_name, overrides)
        if problem:
            return ConfigError(problem)
    return ConfigError(_first_line(error))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _grammar_problem(line: str, cause: HydraException) -> str:
    key, equals, value = line.partition("=")
    if not equals:
        return f"{line!r} cannot be read as key=value: {_first_line(cause)}"
    return (
        f"{key}: {value!r} cannot be read, as Hydra gives some signs a meaning; "
        f"if it is a path or another text, quote it: {typed(key, value)}"
    )


def _parsed(overrides: list[str]) -> list[Override]:
    """Return the parsable overrides."""
    results = []
    for line in overrides:
        with suppress(HydraException):
            results.append(OverridesParser.create().parse_override(line))
    return results


def _choices(group: str) -> list[str]:
    """Return the choices of a group; empty for the path of an option."""
    if "." in group:  # a resumed run has about a hundred of these, and each lookup in Hydra is slow
        return []
    results: list[str] = GlobalHydra.instance().config_loader().get_group_options(group, ObjectType.CONFIG)
    return results


def _choice_problem(override: Override) -> str | None:
    """Return the problem of an override `group=choice`; None if there is none."""
    group = override.key_or_group
    choices = _choices(group)
    if not choices or override.is_delete() or override.is_sweep_override():
        return None
    value = override.value()
    values = value if isinstance(value, list) else [value]
    wrong = [v for v in values if v not in choices]
    if wrong:
        return f"{group}={show(wrong[0])}: no such choice; {nearest(str(wrong[0]), choices)}"
    if isinstance(value, list) and not override.is_add():  # with `+`, several configs can be combined
        each = ",".join(map(str, values))
        return f"{group}=[{each}]: should be one choice; for a run of each write -m {group}={each}"
    return None


def _option_problem(override: Override, config_name: str, overrides: list[str]) -> str | None:
    """Return the problem of `path.to.option=value` if the option does not exist."""
    key = override.key_or_group
    is_group = bool(_choices(key))
    if override.is_sweep_override():
        listed = "" if is_group else f", or write {key}=[...] for a list and {key}='...' for a text"
        return f"{override.input_line}: several values are a sweep; add -m to run a job for each{listed}"
    if override.is_add() or key.startswith("hydra"):
        return None
    known = _parsed(overrides)
    groups = _groups_of(config_name)
    # A group of another command cannot be composed.
    added = [o for o in known if o.is_add() and _choices(o.key_or_group)]
    of_group = [o for o in known if o.key_or_group in groups and not o.is_sweep_override()]
    chosen = [o.input_line or "" for o in (*of_group, *added)]
    config = OmegaConf.to_container(compose(config_name, chosen))
    leaves = _paths(config)  # type: ignore[arg-type]
    if key in leaves or key in groups or override.is_delete():
        return None
    parent = key.rpartition(".")[0]
    siblings = {*_children(leaves, parent), *(groups if not parent else ())} - {"_target_"}
    if parent and not siblings:
        roots = {*_children(leaves, ""), *groups} - {"_target_"}
        return f"{key}: no such option; {nearest(key.partition('.')[0], roots)}"
    return unknown_option(key, siblings, [leaf for leaf in leaves if not leaf.endswith("_target_")])


def _groups_of(config_name: str) -> set[str]:
    """Return the groups of a command, including optional ones."""
    config = compose(config_name, return_hydra_config=True)
    return {str(group) for group in config.hydra.runtime.choices if not str(group).startswith("hydra/")}


def _paths(node: Mapping[str, Any], path: str = "") -> list[str]:
    results = []
    for name, value in node.items():
        here = f"{path}.{name}" if path else str(name)
        results.append(here)
        if isinstance(value, Mapping):
            results += _paths(value, here)
    return results


def _children(paths: list[str], parent: str) -> list[str]:
    prefix = f"{parent}." if parent else ""
    return [p[len(prefix) :] for p in paths if p.startswith(prefix) and "." not in p[len(prefix) :]]
