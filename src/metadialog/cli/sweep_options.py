"""Checks and defaults of a sweep before Hydra starts it."""

import hashlib

from metadialog.composing.compose import compose_job, parse
from metadialog.composing.multirun import sweep_template
from metadialog.config import check, plain
from metadialog.errors import ConfigError
from metadialog.hydra_internals import HydraException, Override, OverridesParser
from metadialog.sweeps.directory import SweepDirectory
from metadialog.sweeps.identity import Compose, identify
from metadialog.sweeps.launchers import check_launcher
from metadialog.sweeps.plan import GROUP, Plan, is_free, make_plan
from metadialog.sweeps.storage import open_storage

_DIGITS = 8
_NAME = f"{GROUP}.name"


def name_sweep(config_name: str, overrides: list[str], plan: Plan, configs: Compose) -> list[str]:
    """Add a name of the sweep to the overrides, unless they have one.

    The same sweep always has the same name and directory, so that it is resumed when started again. Sweeps are the same
    if their runs have the same configs. Requires an initialised Hydra.

    Args:
        config_name: name of the primary config.
        overrides: overrides of the user.
        plan: plan of the sweep.
        configs: returns the composed configs of the plan's corners.
    """
    given = parse(overrides, config_name)
    if any(override.key_or_group == _NAME for override in given):
        return overrides
    fixed = [override.input_line or "" for override in given if not override.is_sweep_override()]
    choice = next(str(override.value()) for override in given if override.key_or_group == GROUP)
    lines = sorted(override.input_line or "" for override in given if not is_free(override))
    identity = identify(plan, configs)
    name = f"{choice}-{identity.digest(plain(compose_job(config_name, fixed)[GROUP]))[:_DIGITS]}"
    for one in (name, f"{choice}-{_hashed(lines)}"):  # the second is the name in version 0.1.0
        sweep, _ = sweep_template(config_name, [*fixed, f"{_NAME}={one}"])
        directory = SweepDirectory(sweep)
        if directory.exists():
            return [*overrides, f"{_NAME}={directory.read().get('name', name)}"]
    return [*overrides, f"{_NAME}={name}"]


def _hashed(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:_DIGITS]


def readable(arguments: list[str]) -> list[Override]:
    """Return the parsable overrides among the arguments; others are reported when the config is composed."""
    parser = OverridesParser.create()
    results = []
    for argument in arguments:
        try:
            results.append(parser.parse_override(argument))
        except HydraException:
            continue
    return results


def check_launchers(overrides: list[str]) -> None:
    """Check that the chosen launcher is installed.

    Raises:
        ConfigError: it is not installed.
    """
    for override in readable(overrides):
        if override.key_or_group == "hydra/launcher" and not override.is_sweep_override():
            check_launcher(str(override.value()))


def plan_sweep(config_name: str, overrides: list[str], *, multirun: bool) -> Plan | None:
    """Check the options of a sweep, and return its plan; None if there is no sweep. Requires an initialised Hydra.

    Raises:
        ConfigError: an option is wrong, or `-m` is missing.
    """
    given = parse(overrides, config_name)
    chosen = _chosen(given)
    if chosen is None:
        return None
    if chosen.is_sweep_override():
        raise ConfigError(f"{chosen.input_line}: one sweep at a time")
    if not multirun:
        raise ConfigError(f"{chosen.input_line}: starts many runs; add -m")
    if any(override.key_or_group == "resume" for override in given):
        raise ConfigError(f"resume: a sweep goes on by itself; leave resume out, and start the same {GROUP} again")
    fixed = [override.input_line or "" for override in given if not override.is_sweep_override()]
    config = compose_job(config_name, fixed, with_hydra=True)
    algorithm = str(config.hydra.runtime.choices.get("algorithm"))
    node = plain(config[GROUP])
    check(node, GROUP)
    return make_plan(node["space"], algorithm, given)


def check_storage(config_name: str, overrides: list[str]) -> None:
    """Check that the storage of a sweep can be reached.

    Raises:
        ConfigError: it cannot be reached.
    """
    fixed = [o.input_line or "" for o in parse(overrides, config_name) if not o.is_sweep_override()]
    storage = compose_job(config_name, fixed)[GROUP]["storage"]
    if storage is not None:
        open_storage(str(storage))


def _chosen(given: list[Override]) -> Override | None:
    """Return the override that chooses a sweep."""
    chosen = [override for override in given if override.key_or_group == GROUP]
    return chosen[-1] if chosen and not chosen[-1].is_delete() and chosen[-1].value() is not None else None
