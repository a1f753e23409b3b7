"""Agreement of several processes that are started with one command line."""

import json
from collections.abc import Callable

from metadialog.cli.command_line import CommandLine
from metadialog.cli.preflight import Prepared
from metadialog.errors import ConfigError
from metadialog.overrides import quote
from metadialog.training.launch import RankInfo

PARALLEL = ("train",)
"""Commands that support several processes."""


def check(command: str, line: CommandLine, here: RankInfo | None) -> None:
    """Check that the command supports the number of processes.

    Raises:
        ConfigError: it does not.
    """
    if here is None:
        return
    if command not in PARALLEL:
        raise ConfigError(f"{command} runs in one process, but {here.size} were started; leave out torchrun or srun")
    if line.options.multirun:
        raise ConfigError(f"-m starts its runs by itself, but {here.size} processes were started; leave out torchrun")


def agree(here: RankInfo | None, prepare: Callable[[], Prepared]) -> Prepared:
    """Return the command line of all processes, as prepared by the first one, with one run directory.

    Args:
        here: this process; None if it is the only one.
        prepare: checks and prepares the command line; called in the first process.

    Raises:
        LostError: the processes cannot connect, or the first one has failed.
    """
    if here is None:
        return prepare()
    from metadialog.training.distributed import join

    team = join(here)
    if here.is_first:
        prepared = prepare()
        line = prepared.line
        if prepared.composed is not None:
            # The directory's name contains the time, so one process determines it.
            line = line.with_overrides([*line.overrides, f"hydra.run.dir={quote(str(prepared.composed.directory()))}"])
        team.tell("arguments", json.dumps(line.arguments))
        return Prepared(line)
    heard = CommandLine.parse(json.loads(team.hear("arguments")))
    # Only the first process writes the log.
    return Prepared(heard.with_overrides([*heard.overrides, "hydra/job_logging=disabled"]))
