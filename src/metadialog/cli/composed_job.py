"""Running of composed jobs: the command of a config, and user errors in one line."""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from metadialog.cli.user_errors import EXIT_BROKEN_PIPE, EXIT_USER_ERROR, command_line, complain, wants_traceback
from metadialog.composing.compose import Composed, as_job, running_job
from metadialog.console import make_console
from metadialog.errors import MetadialogError
from metadialog.hydra_internals import (
    Callbacks,
    ConfigLoader,
    HydraContext,
    RunMode,
    configure_log,
    run_job,
)
from metadialog.trust import resolve


@dataclass(frozen=True)
class Job:
    """A job of a command, the argument of the modules in `metadialog.commands`.

    Attributes:
        composed: composed config.
        directory: output directory.
        multirun: whether it is one of several jobs.
    """

    composed: Composed
    directory: Path
    multirun: bool

    @cached_property
    def config(self) -> dict[str, Any]:
        """The config as plain values."""
        return self.composed.resolve()

    @property
    def command(self) -> str:
        """The name of the command."""
        described: Any = resolve(self.config["_target_"])
        return str(described.command)

    @property
    def writes(self) -> bool:
        """Whether this is the process of the run that writes and prints."""
        if "torch" not in sys.modules:
            return True
        from metadialog.training.distributed import ranks

        return ranks().is_first

    @cached_property
    def console(self) -> Console:
        """The console of the command."""
        return make_console(quiet=not self.writes)

    @property
    def command_line(self) -> str:
        """The command line of the user."""
        return command_line()


def run_single(composed: Composed, loader: ConfigLoader) -> None:
    """Run a composed job in this process like `hydra.main`, without composing it again.

    Args:
        composed: the job.
        loader: the loader that composed it.

    Raises:
        SystemExit: with exit code 2 after a line for each user error.
    """
    config = composed.config
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    callbacks = Callbacks(config)
    callbacks.on_run_start(config=config, config_name=config.hydra.job.config_name)
    context = HydraContext(config_loader=loader, callbacks=callbacks)
    with as_job(config):
        directory = Path(str(config.hydra.run.dir)).absolute()  # its time is cached, so Hydra uses the same
    with _leaving_nothing_empty(directory):
        result = run_job(
            hydra_context=context,
            task_function=run_composed,
            config=config,
            job_dir_key="hydra.run.dir",
            job_subdir_key=None,
        )
    callbacks.on_run_end(config=config, config_name=config.hydra.job.config_name, job_return=result)
    _ = result.return_value  # raises the exception of the job


def run_composed(config: DictConfig) -> Any:  # noqa: ANN401 - depends on the command
    """Run the job that Hydra has set up; the task function of the application.

    In a single run a user error ends the process here, as Hydra would add its own lines. In a sweep it is passed on to
    Hydra, which continues with the other jobs. If the output is closed, both end.
    """
    composed, directory = running_job(config)
    job = Job(composed, directory, multirun=composed.config.hydra.mode != RunMode.RUN)
    try:
        command = import_module(f"metadialog.commands.{job.command}")
        gc.enable()  # disabled during imports
        return command.main(job)
    except BrokenPipeError as error:
        # Python would report it again when it flushes on exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(EXIT_BROKEN_PIPE) from error
    except (MetadialogError, OSError) as error:
        if job.multirun:
            _remove_empty(directory, Path(str(composed.config.hydra.sweep.dir)).absolute())
        if job.multirun or wants_traceback():
            raise
        complain(job.command, error)
        raise SystemExit(EXIT_USER_ERROR) from error


def _remove_empty(directory: Path, sweep: Path) -> None:
    """Remove the folder that Hydra created for a job of a sweep that was refused before it wrote anything."""
    with suppress(OSError):  # not empty: the run has started, and its status says how it ended
        for folder in (directory, *directory.parents):
            if folder == sweep:
                break
            folder.rmdir()


@contextmanager
def _leaving_nothing_empty(directory: Path) -> Iterator[None]:
    """Remove the folders that Hydra creates for a job that is refused before it writes anything."""
    made = [folder for folder in (directory, *directory.parents) if not folder.exists()]
    try:
        yield
    except BaseException:
        with suppress(OSError):  # not empty: the run has started, and its status says how it ended
            for folder in made:
                folder.rmdir()
        raise
