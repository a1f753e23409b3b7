"""What every command has in common: a Hydra application whose mistakes cost one line and exit code 2.

Hydra composes the config. Before it makes a directory or starts anything, the same config is composed and
checked here (every job's, in a sweep), so that a wrong name or value is found while nothing has happened yet.
"""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from hydra import compose, initialize_config_module
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from metadialog.commands.composition import explain
from metadialog.commands.inheritance import inherit
from metadialog.commands.job import EXIT_USER_ERROR, TRACEBACK, complain, wants_traceback
from metadialog.config import check, plain
from metadialog.errors import ConfigError, MetadialogError, RunError

EXIT_INTERRUPTED = 130


def run(main: Callable[[], None], command: str, arguments: list[str]) -> int:
    """Run a command's Hydra application; return the exit code.

    Args:
        main: the function under `hydra.main`.
        command: its name, which is also that of its primary config.
        arguments: what followed the command on the command line.
    """
    try:
        _take_over_errors()
        arguments = inherit(command, arguments)
        _preflight(command, arguments)
        sys.argv = [sys.argv[0], *arguments]
        main()
    except (MetadialogError, HydraException, OmegaConfBaseException) as error:
        if wants_traceback():
            raise
        complain(command, error)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        print(f"metadialog {command}: interrupted", file=sys.stderr)  # noqa: T201
        return EXIT_INTERRUPTED
    return 0


def _take_over_errors() -> None:
    """Let Hydra pass errors on as they are: the user's become one line here.

    What the user asked of Hydra is kept in a variable of our own, which child processes see as well.
    """
    if TRACEBACK not in os.environ:
        os.environ[TRACEBACK] = os.environ.get("HYDRA_FULL_ERROR", "0")
    os.environ["HYDRA_FULL_ERROR"] = "1"


def _preflight(command: str, arguments: list[str]) -> None:
    """Compose and check what Hydra is about to run, and run nothing.

    Raises:
        ConfigError: with one line for each mistake.
    """
    options = get_args_parser().parse_args(arguments)
    if options.help or options.hydra_help or options.shell_completion or options.info:
        return
    config_name = options.config_name or command
    GlobalHydra.instance().clear()
    with initialize_config_module("metadialog.conf", version_base="1.3", job_name=command):
        if options.config_dir:
            _add_config_dir(options.config_dir)
        for overrides in _jobs(options.overrides, config_name, multirun=options.multirun):
            config = _compose(config_name, overrides)
            if not options.cfg:
                check(plain(config))
        if not options.cfg and not options.multirun:
            _check_directory(config_name, options.overrides)


def _check_directory(config_name: str, overrides: list[str]) -> None:
    """Check that a single run does not write over another one.

    Raises:
        RunError: the directory that was asked for holds a run.
    """
    config = compose(config_name, overrides, return_hydra_config=True)
    directory = Path(OmegaConf.select(config, "hydra").run.dir) if _names_directory(overrides) else None
    if directory and (directory / "status.json").exists() and config.get("resume") is None:
        raise RunError(f"{directory}: holds a run already; name another hydra.run.dir, or resume={directory}")


def _names_directory(overrides: list[str]) -> bool:
    return any(override.startswith("hydra.run.dir=") for override in overrides)


def _add_config_dir(folder: str) -> None:
    if not Path(folder).is_dir():
        raise ConfigError(f"--config-dir {folder}: there is no such directory")
    search_path = GlobalHydra.instance().config_loader().get_search_path()
    search_path.prepend(provider="command-line", path=f"file://{Path(folder).resolve()}")


def _compose(config_name: str, overrides: list[str]) -> DictConfig:
    try:
        return compose(config_name, overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, config_name, overrides) from error


def _jobs(overrides: list[str], config_name: str, *, multirun: bool) -> Iterator[list[str]]:
    """Yield the overrides of the jobs that have to be checked.

    In a sweep each value of each swept option is composed once, beside the first values of the others: what
    is wrong with a value shows then, and the number of checks is the sum of the choices, not their product.
    """
    loader = GlobalHydra.instance().config_loader()
    try:
        parsed = OverridesParser.create(config_loader=loader).parse_overrides(overrides)
    except HydraException as error:
        raise explain(error, config_name, overrides) from error
    swept = {} if not multirun else _sweeper_parameters(config_name, parsed)
    sweeps = [override for override in parsed if override.is_sweep_override()] if multirun else []
    fixed = [override.input_line or "" for override in parsed if override not in sweeps]
    swept |= {override.get_key_element(): _values(override) for override in sweeps}
    first = {key: values[0] for key, values in swept.items()}
    yield [*fixed, *(f"{key}={value}" for key, value in first.items())]
    for key, values in swept.items():
        for value in values[1:]:
            yield [*fixed, *(f"{k}={v}" for k, v in (first | {key: value}).items())]


def _values(override: Override) -> list[str]:
    if not override.is_discrete_sweep():
        raise ConfigError(f"{override.input_line}: this sweep has no list of values; give one, as in key=1,2,3")
    return list(override.sweep_string_iterator())


def _sweeper_parameters(config_name: str, parsed: list[Override]) -> dict[str, list[str]]:
    """Return the sweep that the config itself names in `hydra.sweeper.params`."""
    fixed = [o.input_line or "" for o in parsed if not o.is_sweep_override()]
    try:
        config = compose(config_name, fixed, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, config_name, fixed) from error
    if not str(config.hydra.sweeper._target_).endswith(BasicSweeper.__name__):
        return {}
    parameters = config.hydra.sweeper.get("params") or {}
    lines = OverridesParser.create().parse_overrides([f"{k}={v}" for k, v in parameters.items()])
    return {o.get_key_element(): _values(o) if o.is_sweep_override() else [o.get_value_string()] for o in lines}
