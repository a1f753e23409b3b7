"""Several processes that are started with one command line: they agree on what it means before Hydra runs it."""

import json
from collections.abc import Callable

from metadialog.cli.command_line import CommandLine
from metadialog.cli.preflight import Prepared
from metadialog.errors import ConfigError
from metadialog.overrides import quote
from metadialog.training.launch import RankInfo

PARALLEL = ("train",)
"""The commands that several processes can share."""


def check(command: str, line: CommandLine, here: RankInfo | None) -> None:
    """Check that several processes were not started for what one does.

    Raises:
        ConfigError: they were.
    """
    if here is None:
        return
    if command not in PARALLEL:
        raise ConfigError(f"{command} runs in one process, but {here.size} were started; leave out torchrun or srun")
    if line.options.multirun:
        raise ConfigError(f"-m starts its runs by itself, but {here.size} processes were started; leave out torchrun")


def agree(here: RankInfo | None, prepare: Callable[[], Prepared]) -> Prepared:
    """Return what all processes run: the command line that the first has prepared, with one run directory.

    Args:
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
        line = prepared.line
        if prepared.composed is not None:
            # The directory's name has the time in it: one process says what that is.
            line = line.with_overrides([*line.overrides, f"hydra.run.dir={quote(str(prepared.composed.directory()))}"])
        team.tell("arguments", json.dumps(line.arguments))
        return Prepared(line)
    heard = CommandLine.parse(json.loads(team.hear("arguments")))
    # The first process keeps the log.
    return Prepared(heard.with_overrides([*heard.overrides, "hydra/job_logging=disabled"]))
