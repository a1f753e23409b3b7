"""Several processes that are started with one command line: they agree on what it means before Hydra runs it."""

import json
from collections.abc import Callable
from pathlib import Path

from hydra import initialize_config_module
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from metadialog.cli.preflight import add_config_dir
from metadialog.composing.multirun import compose_job
from metadialog.errors import ConfigError
from metadialog.overrides import quote
from metadialog.training.launch import Place

PARALLEL = ("train",)
"""The commands that several processes can share."""


def check(command: str, arguments: list[str], here: Place | None) -> None:
    """Check that several processes were not started for what one does.

    Raises:
        ConfigError: they were.
    """
    if here is None:
        return
    if command not in PARALLEL:
        raise ConfigError(f"{command} runs in one process, but {here.size} were started; leave out torchrun or srun")
    if get_args_parser().parse_args(arguments).multirun:
        raise ConfigError(f"-m starts its runs by itself, but {here.size} processes were started; leave out torchrun")


def agree(command: str, here: Place | None, prepare: Callable[[], list[str]]) -> list[str]:
    """Return the arguments that all processes run: those that the first has prepared, with one run directory.

    Args:
        command: the command.
        here: which process this is; None if it is the only one.
        prepare: checks what the user typed, and returns what that comes to; the first process does it for all.

    Raises:
        LostError: the processes do not find each other, or the first one has failed.
    """
    if here is None:
        return prepare()
    from metadialog.training.distributed import join

    team = join(here)
    if here.is_first:
        prepared = prepare()
        # The directory's name has the time in it: one process says what that is.
        agreed = _insert(prepared, [f"hydra.run.dir={quote(_directory(command, prepared))}"])
        team.tell("arguments", json.dumps(agreed))
        return agreed
    # The first process keeps the directory and the log.
    return _insert(json.loads(team.hear("arguments")), ["hydra.output_subdir=null", "hydra/job_logging=disabled"])


def _directory(command: str, arguments: list[str]) -> str:
    options = get_args_parser().parse_args(arguments)
    GlobalHydra.instance().clear()
    with initialize_config_module("metadialog.conf", version_base="1.3", job_name=command):
        if options.config_dir:
            add_config_dir(options.config_dir)
        config = compose_job(options.config_name or command, options.overrides, with_hydra=True)
        HydraConfig.instance().set_config(config)
        return str(Path(config.hydra.run.dir).absolute())


def _insert(arguments: list[str], more: list[str]) -> list[str]:
    """Put overrides behind the last one; a flag between overrides is one that Hydra's parser stumbles over."""
    given = get_args_parser().parse_args(arguments).overrides
    place = len(arguments) - arguments[::-1].index(given[-1]) if given else len(arguments)
    return [*arguments[:place], *more, *arguments[place:]]
