"""What is checked before Hydra makes a directory or starts anything.

The config that Hydra is about to run is composed and checked here first (every job's, in a sweep), and so are
the directories that it names: a wrong name or value is found while nothing has happened yet.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

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
from metadialog.config import check, plain
from metadialog.errors import ConfigError, RunError


def preflight(command: str, arguments: list[str]) -> None:
    """Compose and check what Hydra is about to run, and run nothing.

    Raises:
        ConfigError: with one line for each mistake.
        RunError: a directory that is named is not what it has to be.
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
            config = plain(_compose(config_name, overrides))
            if not options.cfg:
                check(config)
                _check_surroundings(config, multirun=options.multirun)
        if not options.cfg and not options.multirun:
            _check_output_directory(config_name, options.overrides)


def _check_surroundings(config: Mapping[str, Any], *, multirun: bool) -> None:
    """Check what a valid config says of the machine and of earlier runs."""
    # What is imported here is heavy: a mistake in the config, and a command without a device, need not wait for it.
    if "device" in config:
        from metadialog.commands.session import find_device

        find_device(config["device"])
    if config.get("resume") is None and config.get("run") is None:
        return
    from metadialog.training.resume import check_same_run
    from metadialog.training.run_directory import RunDirectory

    if config.get("resume") is not None:
        if multirun:
            raise ConfigError(f"resume={config['resume']}: one run goes on at a time; leave out -m")
        check_same_run(RunDirectory(Path(config["resume"]).expanduser()).read_config(), config)
    if config.get("run") is not None:
        RunDirectory(Path(config["run"]).expanduser()).check_finished()


def _check_output_directory(config_name: str, overrides: list[str]) -> None:
    """Check that a single run does not write over another one.

    Raises:
        RunError: the directory that was asked for holds a run.
    """
    if not any(override.startswith("hydra.run.dir=") for override in overrides):
        return
    config = compose(config_name, overrides, return_hydra_config=True)
    directory = Path(OmegaConf.select(config, "hydra").run.dir)
    if (directory / "status.json").exists() and config.get("resume") is None:
        raise RunError(f"{directory}: holds a run already; name another hydra.run.dir, or resume={directory}")


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
