"""The Hydra application of all commands, which reports user errors in one line with exit code 2."""

import logging
import os
import shlex
import sys

from omegaconf.errors import OmegaConfBaseException

from hydra_plugins.metadialog_sweeper.sweeper import register
from metadialog.cli import processes
from metadialog.cli.command_line import CommandLine
from metadialog.cli.composed_job import run_composed, run_single
from metadialog.cli.preflight import Prepared, preflight
from metadialog.cli.user_errors import COMMAND_LINE, EXIT_USER_ERROR, TRACEBACK, complain, wants_traceback
from metadialog.composing.compose import PACKAGE, Composed, compose_job, initialised
from metadialog.composing.earlier_run import inherit
from metadialog.entry import INTERRUPTED, TERMINATED
from metadialog.errors import ConfigError, MetadialogError, Terminated
from metadialog.home import provide_home
from metadialog.hydra_internals import VERSION, GlobalHydra, HydraException, main
from metadialog.interrupts import interruptible
from metadialog.overrides import spelled_out
from metadialog.sweeps.storage import hide_password
from metadialog.training.launch import RankInfo, rank_info
from metadialog.trust import take_trust


def run(command: str, arguments: list[str]) -> int:
    """Run a command as a Hydra application; return the exit code.

    The command itself is not imported before its config is composed, so that help and completion are fast.

    Args:
        command: name of the command, and of its primary config.
        arguments: arguments after the command.
    """
    here: RankInfo | None = None
    try:
        _take_over_errors()
        register()
        os.environ[COMMAND_LINE] = hide_password(shlex.join(["metadialog", command, *arguments]))
        provide_home()
        logging.getLogger("matplotlib").setLevel(logging.WARNING)  # otherwise it logs messages about fonts
        with interruptible():
            here = rank_info()
            line = CommandLine.parse(spelled_out(take_trust(arguments)))
            if line.options.multirun and (line.options.cfg or line.options.info):
                raise ConfigError("--cfg and --info show one job; leave out -m, and give each option one value")
            processes.check(command, line, here)
            prepared = processes.agree(here, lambda: _prepare(command, line))
            # If the log is closed, the next printed line ends the run without a traceback.
            logging.raiseExceptions = False
            _start(command, prepared)
    except BrokenPipeError:
        raise
    except (MetadialogError, HydraException, OmegaConfBaseException, OSError) as error:
        if wants_traceback():
            raise
        complain(command, error)
        return EXIT_USER_ERROR
    except KeyboardInterrupt as error:
        terminated = isinstance(error, Terminated)
        if here is None or here.is_first:
            print(f"metadialog {command}: {'terminated' if terminated else 'interrupted'}", file=sys.stderr)  # noqa: T201
        return TERMINATED if terminated else INTERRUPTED
    return 0


def _prepare(command: str, line: CommandLine) -> Prepared:
    """Apply the config of the named run, and check everything."""
    inherited = inherit(command, line.overrides)
    folder = line.options.config_dir or inherited.remembered_config_dir()
    prepared = line.with_overrides(inherited.overrides).with_config_dir(folder)
    return preflight(command, prepared)


def _start(command: str, prepared: Prepared) -> None:
    """Run a single job, or let Hydra run a sweep or show something."""
    line, options = prepared.line, prepared.line.options
    if not (line.only_shows or options.multirun):
        with initialised(command, options.config_dir):
            composed = prepared.composed
            if composed is None:
                composed = Composed(compose_job(options.config_name or command, line.overrides, with_hydra=True))
            loader = GlobalHydra.instance().config_loader()
        if composed.is_single():
            run_single(composed, loader)
            return
    sys.argv = [sys.argv[0], *line.arguments]
    main(config_path=f"pkg://{PACKAGE}", config_name=command, **VERSION)(run_composed)()


def _take_over_errors() -> None:
    """Make Hydra pass on errors, so that user errors can be reported in one line here.

    The user's setting of HYDRA_FULL_ERROR is kept in a separate variable, which child processes inherit.
    """
    if TRACEBACK not in os.environ:
        os.environ[TRACEBACK] = os.environ.get("HYDRA_FULL_ERROR", "0")
    os.environ["HYDRA_FULL_ERROR"] = "1"
