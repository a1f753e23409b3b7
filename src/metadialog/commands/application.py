"""What every command has in common: a Hydra application whose mistakes cost one line and exit code 2."""

import os
import sys
from collections.abc import Callable

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from metadialog.commands.inheritance import inherit
from metadialog.commands.job import EXIT_USER_ERROR, TRACEBACK, complain, wants_traceback
from metadialog.commands.preflight import preflight
from metadialog.errors import MetadialogError

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
        preflight(command, arguments)
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
