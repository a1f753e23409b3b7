"""What is checked and settled about a sweep before Hydra starts it."""

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
    """Return the overrides with a name of the sweep that they ask for, unless they give it one.

    The same sweep gets the same name, and so the same directory: what is started twice is not done twice. It is the
    same if its runs have the same configs, whatever was typed for them. Needs an initialised Hydra.

    Args:
        config_name: of the primary config.
        overrides: what the user typed.
        plan: what the sweep does.
        configs: gives the configs of the plan's corners, which have been composed already.
    """
    given = parse(overrides, config_name)
    if any(override.key_or_group == _NAME for override in given):
        return overrides
    fixed = [override.input_line or "" for override in given if not override.is_sweep_override()]
    choice = next(str(override.value()) for override in given if override.key_or_group == GROUP)
    lines = sorted(override.input_line or "" for override in given if not is_free(override))
    identity = identify(plan, configs)
    name = f"{choice}-{identity.digest(plain(compose_job(config_name, fixed)[GROUP]))[:_DIGITS]}"
    for one in (name, f"{choice}-{_hashed(lines)}"):  # the second is what version 0.1.0 called it
        sweep, _ = sweep_template(config_name, [*fixed, f"{_NAME}={one}"])
        directory = SweepDirectory(sweep)
        if directory.exists():
            return [*overrides, f"{_NAME}={directory.read().get('name', name)}"]
    return [*overrides, f"{_NAME}={name}"]


def _hashed(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:_DIGITS]


def readable(arguments: list[str]) -> list[Override]:
    """Return the overrides among the arguments; what cannot be read is reported when the config is composed."""
    parser = OverridesParser.create()
    results = []
    for argument in arguments:
        try:
            results.append(parser.parse_override(argument))
        except HydraException:
            continue
    return results


def check_launchers(overrides: list[str]) -> None:
    """Check that the launcher that is named is installed.

    Raises:
        ConfigError: it is not.
    """
    for override in readable(overrides):
        if override.key_or_group == "hydra/launcher" and not override.is_sweep_override():
            check_launcher(str(override.value()))


def plan_sweep(config_name: str, overrides: list[str], *, multirun: bool) -> Plan | None:
    """Check the options of the sweep that is asked for, and return what it does; None if there is none.

    Needs an initialised Hydra.

    Raises:
        ConfigError: an option is wrong, or a sweep is asked for without `-m`.
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
        ConfigError: it cannot.
    """
    fixed = [o.input_line or "" for o in parse(overrides, config_name) if not o.is_sweep_override()]
    storage = compose_job(config_name, fixed)[GROUP]["storage"]
    if storage is not None:
        open_storage(str(storage))


def _chosen(given: list[Override]) -> Override | None:
    """Return the override that chooses a sweep."""
    chosen = [override for override in given if override.key_or_group == GROUP]
    return chosen[-1] if chosen and not chosen[-1].is_delete() and chosen[-1].value() is not None else None
