"""What is checked and settled about a sweep before Hydra starts it."""

import hashlib

from metadialog.composing.compose import compose_job, parse
from metadialog.config import check, plain
from metadialog.errors import ConfigError
from metadialog.hydra_internals import HydraException, Override, OverridesParser, get_args_parser
from metadialog.sweeps.launchers import check_launcher
from metadialog.sweeps.plan import GROUP, Plan, is_free, make_plan
from metadialog.sweeps.storage import open_storage

_DIGITS = 8


def name_sweep(arguments: list[str]) -> list[str]:
    """Return the arguments with a name of the sweep that they ask for, if they ask for one and give it none.

    The same sweep gets the same name, and so the same directory: what is started twice is not done twice.
    """
    given = readable(arguments)
    chosen = _chosen(given)
    if (
        chosen is None
        or chosen.is_sweep_override()
        or any(override.key_or_group == f"{GROUP}.name" for override in given)
    ):
        return arguments
    lines = sorted(override.input_line or "" for override in given if not is_free(override))
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:_DIGITS]
    first = arguments.index(get_args_parser().parse_args(arguments).overrides[0])
    return [*arguments[:first], f"{GROUP}.name={chosen.value()}-{digest}", *arguments[first:]]


def readable(arguments: list[str]) -> list[Override]:
    """Return the overrides among the arguments; what cannot be read is reported when the config is composed."""
    parser = OverridesParser.create()
    found = []
    for argument in arguments:
        try:
            found.append(parser.parse_override(argument))
        except HydraException:
            continue
    return found


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
