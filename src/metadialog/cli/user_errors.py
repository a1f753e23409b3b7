"""Reporting of user errors: one line on stderr and exit code 2, without a traceback."""

import os
import shlex
import sys
from collections.abc import Callable

from omegaconf.errors import OmegaConfBaseException

from metadialog.errors import MetadialogError
from metadialog.escapes import escaped, shortened
from metadialog.hydra_internals import HydraException
from metadialog.interrupts import interruptible

EXIT_USER_ERROR = 2
_LONGEST_MESSAGE = 1500  # characters of a message
EXIT_BROKEN_PIPE = 141  # exit code of a program ended by SIGPIPE, as in shells
TRACEBACK = "METADIALOG_TRACEBACK"
"""Environment variable with the user's setting of HYDRA_FULL_ERROR."""
COMMAND_LINE = "METADIALOG_COMMAND_LINE"
"""Environment variable with the user's command line, inherited by child processes."""


def wants_traceback() -> bool:
    """Tell whether the user requested full errors."""
    return os.environ.get(TRACEBACK) == "1"


def command_line() -> str:
    """Return the user's command line, quoted for a shell."""
    return os.environ.get(COMMAND_LINE, shlex.join(sys.argv))


def complain(command: str, error: BaseException) -> None:
    """Print a line for each error, from only one of several processes."""
    if "torch" not in sys.modules:
        _say(command, error)
        return
    from metadialog.training.distributed import ranks

    with ranks().failing() as is_first_to_fail:
        if is_first_to_fail:
            _say(command, error)


def _say(command: str, error: BaseException) -> None:
    for line in str(error).split("\n") if str(error) else [type(error).__name__]:
        print(f"metadialog {command}: {escaped(_bounded(line))}", file=sys.stderr)  # noqa: T201


def _bounded(line: str) -> str:
    """Shorten a line that quotes a value of any length."""
    return line if len(line) <= _LONGEST_MESSAGE else shortened(line, _LONGEST_MESSAGE)


def guarded(command: str, action: Callable[[], int]) -> int:
    """Run a command that is not a Hydra application; report errors and return the exit code."""
    try:
        with interruptible():
            return action()
    except (MetadialogError, HydraException, OmegaConfBaseException) as error:
        complain(command, error)
        return EXIT_USER_ERROR
