"""One experiment: a composed config, and the work that it describes."""

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

_computing = threading.RLock()  # torch's generators and threads are the process's: one run computes at a time


class Experiment:
    """A composed and checked config of `train` or `evaluate`, which can be run any number of times.

    Made by `metadialog.compose`. Nothing of it depends on the process that it is run in: neither on Hydra's globals nor
    on the working directory, but for relative paths in the config.

    Args:
        composed: what Hydra has composed.

    Raises:
        ConfigError: it is the config of another command.
    """

    def __init__(self, composed: Composed) -> None:
        self._composed = composed
        nodes = composed.resolve()
        options = build(nodes)
        if not isinstance(options, TrainConfig | EvaluateConfig):
            raise ConfigError(f"{nodes['_target_']}: describes no experiment; those of train and evaluate do")
        self.options = options
        self.config: Mapping[str, Any] = {name: value for name, value in nodes.items() if name != "_target_"}

    def __repr__(self) -> str:
        """Return what was composed."""
        return f"<Experiment {shlex.join([self.options.command, *self._composed.overrides])}>"

    def run(
        self,
        directory: str | Path | None = None,
        *,
        existing: Existing = "continue",
        console: Console | None = None,
        command_line: str | None = None,
    ) -> Run:
        """Train and evaluate, or evaluate; write a run directory, and return what is in it.

        Several threads may call it: one run computes at a time. SIGTERM and Ctrl-C end it in order, with a
        checkpoint, if this is the main thread.

        Args:
            directory: to write to; None for that of the config, which by default is a new one each time.
            existing: what to do where the directory holds a run of the same config already. `continue`: return it if
                it is finished, and else go on with it from its last checkpoint; `refuse`: raise.
            console: takes what is printed; None for one on stdout.
            command_line: what the run's status says was typed; None for the command with the same effect.

        Raises:
            MetadialogError: the data, the options or the directory do not allow it; the message says what would be
                right.
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
                raise RunError(f"{directory}: a run goes on in its own directory, {own}; leave directory out")
            return own
        return self._composed.directory() if directory is None else Path(directory).expanduser().absolute()

    def _run(self, directory: Path, resume: str | None, console: Console, command_line: str) -> None:
        """Do the work."""
        from metadialog.experiment.evaluate import evaluate
        from metadialog.experiment.train import train
        from metadialog.experiment.workspace import Workspace
        from metadialog.training.distributed import ranks

        nodes = self._composed.resolve(directory)  # which may have the directory's name in it
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
