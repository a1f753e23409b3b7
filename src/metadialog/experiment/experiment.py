"""An experiment: a composed config that can be run."""

import shlex
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from metadialog.composing.compose import Composed
from metadialog.config import build
from metadialog.console import make_console
from metadialog.errors import ConfigError, RunError
from metadialog.experiment.config import EvaluateConfig, TrainConfig
from metadialog.experiment.rerun import AUTO, check_same_results, holds_run, run_what_is_missing
from metadialog.experiment.run import Run
from metadialog.interrupts import interruptible
from metadialog.runs.run_directory import RunDirectory

Existing = Literal["continue", "refuse"]

_computing = (
    threading.RLock()
)  # torch's generators and threads belong to the process, so only one run computes at a time


class Experiment:
    """A composed and checked config of `train` or `evaluate`, which can be run any number of times.

    Created by `metadialog.compose`. It does not depend on Hydra's global state, nor on the working directory except for
    relative paths in the config.

    Args:
        composed: the config as composed by Hydra.

    Raises:
        ConfigError: the config belongs to another command.
    """

    def __init__(self, composed: Composed) -> None:
        self._composed = composed
        nodes = composed.resolve()
        options = build(nodes)
        if not isinstance(options, TrainConfig | EvaluateConfig):
            raise ConfigError(f"{nodes['_target_']}: is not an experiment; the configs of train and evaluate are")
        self.options = options
        self.config: Mapping[str, Any] = {name: value for name, value in nodes.items() if name != "_target_"}

    def __repr__(self) -> str:
        """Return the command and its overrides."""
        return f"<Experiment {shlex.join([self.options.command, *self._composed.overrides])}>"

    def run(
        self,
        directory: str | Path | None = None,
        *,
        existing: Existing = "continue",
        console: Console | None = None,
        command_line: str | None = None,
    ) -> Run:
        """Train and evaluate, or only evaluate; write a run directory and return it as a `Run`.

        It may be called from several threads, but only one run computes at a time. In the main thread, SIGTERM and
        Ctrl-C stop it after a checkpoint.

        Args:
            directory: directory to write to; None for that of the config, which by default is a new one each time.
            existing: what to do if the directory already holds a run of the same config. `continue`: return it if it is
                finished, otherwise resume it from its last checkpoint; `refuse`: raise an error.
            console: console to print to; None for stdout.
            command_line: command line to write to the run's status; None for the equivalent command.

        Raises:
            MetadialogError: the data, the options or the directory are unsuitable; the message says what would be
                valid.
        """
        target = self._directory(directory)
        line = command_line or shlex.join(["metadialog", self.options.command, *self._composed.overrides])
        printed = console or make_console()
        with interruptible(), _computing:
            resume = self.config.get("resume")
            if resume == AUTO or (existing == "continue" and resume is None and holds_run(target)):
                if resume != AUTO:
                    check_same_results(target, self.config)
                run_what_is_missing(target, lambda resume: self._run(target, resume, printed, line))
            else:
                self._run(target, resume, printed, line)
        return Run(target)

    def _directory(self, directory: str | Path | None) -> Path:
        resume = self.config.get("resume")
        if resume not in (None, AUTO):
            own = Path(resume).expanduser().absolute()
            if directory is not None and Path(directory).expanduser().resolve() != own.resolve():
                raise RunError(f"{directory}: a run is resumed in its own directory, {own}; leave directory out")
            return own
        return self._composed.directory() if directory is None else Path(directory).expanduser().absolute()

    def _run(self, directory: Path, resume: str | None, console: Console, command_line: str) -> None:
        """Run the command of the config in a directory."""
        from metadialog.experiment.evaluate import evaluate
        from metadialog.experiment.train import train
        from metadialog.experiment.workspace import Workspace
        from metadialog.training.distributed import ranks

        nodes = self._composed.resolve(directory)  # may contain the directory's name
        config = {name: value for name, value in nodes.items() if name != "_target_"}
        if isinstance(self.options, TrainConfig):
            config["resume"] = resume
        workspace = Workspace(
            RunDirectory(directory), config, command_line, console, ranks(), describe=self._composed.write
        )
        if isinstance(self.options, TrainConfig):
            train(TrainConfig(**config), workspace)
        else:
            evaluate(EvaluateConfig(**config), workspace)
