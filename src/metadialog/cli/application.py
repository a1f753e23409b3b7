"""What every command has in common: a Hydra application whose mistakes cost one line and exit code 2."""

import logging
import os
import shlex
import sys

import hydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from hydra_plugins.metadialog_sweeper.sweeper import register
from metadialog.cli import processes
from metadialog.cli.preflight import preflight
from metadialog.cli.user_errors import COMMAND_LINE, EXIT_USER_ERROR, TRACEBACK, complain, run_job, wants_traceback
from metadialog.composing.earlier_run import inherit
from metadialog.errors import MetadialogError, Terminated
from metadialog.interrupts import interruptible
from metadialog.sweeps.storage import hide_password
from metadialog.training.launch import Place, place

EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143  # as a shell reports a program that SIGTERM ended


def run(command: str, arguments: list[str]) -> int:
    """Run a command as a Hydra application; return the exit code.

    Nothing of the command itself is imported before its config is composed: not for its help, nor for the tab key.

    Args:
        command: its name, which is also that of its primary config.
        arguments: what followed the command on the command line.
    """
    here: Place | None = None
    try:
        _take_over_errors()
        register()
        os.environ[COMMAND_LINE] = hide_password(shlex.join(["metadialog", command, *arguments]))
        with interruptible():
            here = place()
            processes.check(command, arguments, here)
            arguments = processes.agree(command, here, lambda: _prepare(command, arguments))
            sys.argv = [sys.argv[0], *arguments]
            # Where nobody reads the log any more, the next line that is printed ends the run without a traceback.
            logging.raiseExceptions = False
            hydra.main(config_path="pkg://metadialog.conf", config_name=command, version_base="1.3")(run_job)()
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
        return EXIT_TERMINATED if terminated else EXIT_INTERRUPTED
    return 0


def _prepare(command: str, arguments: list[str]) -> list[str]:
    """Take over the config of the run that is named, and check everything."""
    return preflight(command, inherit(command, arguments))


def _take_over_errors() -> None:
    """Let Hydra pass errors on as they are: the user's become one line here.

    What the user asked of Hydra is kept in a variable of our own, which child processes see as well.
    """
    if TRACEBACK not in os.environ:
        os.environ[TRACEBACK] = os.environ.get("HYDRA_FULL_ERROR", "0")
    os.environ["HYDRA_FULL_ERROR"] = "1"
