"""Where a run writes and what it prints to, and keeping its status while it runs."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from metadialog.config import build
from metadialog.errors import PrunedError
from metadialog.loggers.base import Logger, Status
from metadialog.loggers.local import LocalLogger
from metadialog.runs.metrics_file import MetricsFile
from metadialog.runs.run_directory import RunDirectory
from metadialog.training.distributed import ALONE, Ranks


@dataclass(frozen=True, slots=True)
class Workspace:
    """The directory that a run works in.

    Attributes:
        run: its directory.
        config: the resolved config, as it is written there.
        command_line: what was typed, or would be typed for the same run.
        console: takes what is printed.
        team: the processes that share the run; the first of them writes.
        describe: writes to the run's directory how Hydra composed the config; None: nothing is written of it.
    """

    run: RunDirectory
    config: Mapping[str, Any]
    command_line: str
    console: Console
    team: Ranks = ALONE
    describe: Callable[[Path], None] | None = None

    @contextmanager
    def recorded(self, seeds: Mapping[str, int], *, resumes: bool = False) -> Iterator[MetricsFile]:
        """Open what the first process writes of the run, and nothing in the others; keep the run's status.

        Args:
            seeds: by what they are for.
            resumes: whether the directory holds the run already, which goes on.

        Raises:
            RunError: another process is writing this run, or the directory holds another one.
        """
        if not self.team.is_first:
            with MetricsFile(Path(os.devnull)) as nothing:
                yield nothing
            return
        if not resumes:
            self.run.check_new()
        # The metrics first: their lock keeps a second process out.
        with MetricsFile(self.run.metrics) as metrics:
            if not resumes:
                self.run.check_new()  # once more: another process may have come and gone before the lock was there
            if self.describe is not None:
                self.describe(self.run.path)
            self.run.write_config(self.config)
            with self.run.running(seeds, self.command_line):
                yield metrics
                metrics.position()  # a run whose metrics are not on the disk has not finished

    @contextmanager
    def logged(self, name: str, run_id: str | None = None) -> Iterator[Logger]:
        """Make the logger of the first process, and end it as the run ends; the others have nothing to say.

        Args:
            name: of the run.
            run_id: what a resumed run continues the same log by.
        """
        logger: Logger = (
            build(self.config["logger"], self.run.path, self.config, name, run_id)
            if self.team.is_first
            else LocalLogger(self.run.path, self.config, name, run_id)
        )
        outcome: Status = "failed"
        try:
            yield logger
            outcome = "finished"
        except PrunedError:
            outcome = "finished"
            raise
        except KeyboardInterrupt:
            outcome = "interrupted"
            raise
        finally:
            logger.finish(outcome)
