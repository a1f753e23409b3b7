"""One job of a Hydra application: what is composed is built, and a user's mistake stays one line."""

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from metadialog.cli.resume_auto import go_on, goes_on
from metadialog.config import build, plain
from metadialog.errors import MetadialogError

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
    for line in str(error).splitlines() or [type(error).__name__]:
        print(f"metadialog {command}: {line}", file=sys.stderr)  # noqa: T201


def guarded(command: str, action: Callable[[], int]) -> int:
    """Do what a command that is no Hydra application does; return the exit code, after a line for each mistake."""
    try:
        return action()
    except (MetadialogError, HydraException, OmegaConfBaseException) as error:
        complain(command, error)
        return EXIT_USER_ERROR


def run_job(config: DictConfig) -> Any:  # noqa: ANN401 - each command returns what it returns
    """Build what the config describes.

    In a single run a user's mistake ends the process here, as Hydra would add lines of its own to it. In a sweep
    it goes up to Hydra, which goes on with the other jobs. Where nobody reads the output any more, neither goes on.
    """
    try:
        return _run(plain(config))
    except BrokenPipeError as error:
        # Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(EXIT_BROKEN_PIPE) from error
    except (MetadialogError, OSError) as error:
        hydra = HydraConfig.get()
        if hydra.mode != RunMode.RUN or wants_traceback():
            raise
        complain(str(hydra.job.name), error)
        raise SystemExit(EXIT_USER_ERROR) from error


def _run(config: dict[str, Any]) -> Any:  # noqa: ANN401 - as above
    """Build what a resolved config describes, or what is missing of it."""
    hydra = HydraConfig.get()
    if goes_on(config, multirun=hydra.mode == RunMode.MULTIRUN):
        return go_on(config, Path(hydra.runtime.output_dir), build)
    return build(config)
