"""The directory and console of a run, and its status while it runs."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from metadialog.config import build
from metadialog.errors import PrunedError
from metadialog.loggers.base import LoggedRun, Logger, Status
from metadialog.loggers.local import LocalLogger
from metadialog.runs.run_directory import RunDirectory
from metadialog.runs.scalars_file import ScalarsFile
from metadialog.training.distributed import ALONE, Ranks


@dataclass(frozen=True, slots=True)
class Workspace:
    """The directory that a run works in.

    Attributes:
        run: directory of the run.
        config: the resolved config that is written there.
        command_line: the command line, or the equivalent one.
        console: console to print to.
        team: the processes that share the run; the first one writes.
        describe: writes how Hydra composed the config to the run's directory; None to not write it.
    """

    run: RunDirectory
    config: Mapping[str, Any]
    command_line: str
    console: Console
    team: Ranks = ALONE
    describe: Callable[[Path], None] | None = None

    @contextmanager
    def recorded(self, seeds: Mapping[str, int], *, resumes: bool = False) -> Iterator[ScalarsFile]:
        """Open the file of scalars in the first process and keep the run's status; other processes write nothing.

        Args:
            seeds: seeds by purpose.
            resumes: whether the run in the directory is resumed.

        Raises:
            RunError: another process is writing this run, or the directory holds another run.
        """
        if not self.team.is_first:
            with ScalarsFile(Path(os.devnull)) as nothing:
                yield nothing
            return
        if not resumes:
            self.run.check_new()
        # The file of scalars first: its lock keeps out a second process.
        with ScalarsFile(self.run.scalars) as scalars:
            if not resumes:
                self.run.check_new()  # again, as another process may have run before the lock was taken
            if self.describe is not None:
                self.describe(self.run.path)
            self.run.write_config(self.config)
            with self.run.running(seeds, self.command_line):
                yield scalars
                scalars.position()  # raises an error unless all scalars are on the disk

    @contextmanager
    def logged(self, name: str, run_id: str | None = None) -> Iterator[Logger]:
        """Create the logger in the first process, and close it at the end of the run; other processes log nothing.

        Args:
            name: name of the run.
            run_id: identifier by which a resumed run continues its log.
        """
        logged = LoggedRun(self.run.path, self.config, name, run_id)
        logger: Logger = build(self.config["logger"], logged) if self.team.is_first else LocalLogger(logged)
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
