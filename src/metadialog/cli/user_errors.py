"""What a user sees of a mistake: one line on stderr and exit code 2, without a traceback."""

import os
import shlex
import sys
from collections.abc import Callable

from omegaconf.errors import OmegaConfBaseException

from metadialog.errors import MetadialogError
from metadialog.escapes import escaped
from metadialog.hydra_internals import HydraException
from metadialog.interrupts import interruptible

EXIT_USER_ERROR = 2
EXIT_BROKEN_PIPE = 141  # as a shell reports a program that SIGPIPE ended
TRACEBACK = "METADIALOG_TRACEBACK"
"""The environment variable that holds what the user asked of Hydra in HYDRA_FULL_ERROR."""
COMMAND_LINE = "METADIALOG_COMMAND_LINE"
"""The environment variable that holds what the user typed, which child processes see as well."""


def wants_traceback() -> bool:
    """Say whether the user asked for full errors."""
    return os.environ.get(TRACEBACK) == "1"


def command_line() -> str:
    """Return what the user typed, as a shell reads it."""
    return os.environ.get(COMMAND_LINE, shlex.join(sys.argv))


def complain(command: str, error: BaseException) -> None:
    """Tell the user what is wrong: a line for each mistake, from one process alone where there are several."""
    if "torch" not in sys.modules:
        _say(command, error)
        return
    from metadialog.training.distributed import ranks

    with ranks().failing() as is_first_to_fail:
        if is_first_to_fail:
            _say(command, error)


def _say(command: str, error: BaseException) -> None:
    for line in str(error).split("\n") if str(error) else [type(error).__name__]:
        print(f"metadialog {command}: {escaped(line)}", file=sys.stderr)  # noqa: T201


def guarded(command: str, action: Callable[[], int]) -> int:
    """Do what a command that is no Hydra application does; return the exit code, after a line for each mistake."""
    try:
        with interruptible():
            return action()
    except (MetadialogError, HydraException, OmegaConfBaseException) as error:
        complain(command, error)
        return EXIT_USER_ERROR
