"""Hydra's basic sweeper with progress messages, and a summary of failures at the end."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hydra_plugins.metadialog_sweeper.launching import keep_submitit_files_together, launch, subdirectory
from metadialog.errors import MetadialogError, RunError
from metadialog.hydra_internals import store_sweeper
from metadialog.sweeps.outcomes import read_outcome
from metadialog.sweeps.progress import Job, Progress, varied
from metadialog.sweeps.search import one_line

_EXPECTED = (MetadialogError, HydraException, OmegaConfBaseException, OSError)
_BY_NUMBER = "${hydra.job.num}"

_log = logging.getLogger(__name__)


def replace_basic_sweeper() -> None:
    """Replace `hydra/sweeper=basic`, Hydra's default, by the sweeper below.

    Must be called after Hydra has discovered plugins, when it registers its own.
    """
    target = f"{ReportingBasicSweeper.__module__}.{ReportingBasicSweeper.__name__}"
    node = {"_target_": target, "max_batch_size": None, "params": None}
    store_sweeper("basic", node)


class ReportingBasicSweeper(BasicSweeper):
    """Runs every combination; a failed job does not stop others, and all failures are reported at the end.

    Args:
        max_batch_size: number of jobs to launch together; None for all.
        params: sweeps in the config, option -> values.
    """

    def __init__(self, max_batch_size: int | None, params: dict[str, str] | None = None) -> None:
        super().__init__(max_batch_size, params)
        self._progress: Progress | None = None
        self._unexpected: Exception | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store the arguments of Hydra."""
        keep_submitit_files_together(config)
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        if self.launcher is not None:
            self.launcher = _Reporting(self.launcher, self)

    def sweep(self, arguments: list[str]) -> Any:  # noqa: ANN401 - same as Hydra's
        """Run all combinations.

        Raises:
            RunError: some failed, with a line for each. Other exceptions are not changed.
        """
        try:
            result = super().sweep(arguments)
        except BaseException:
            if self._progress is not None:
                _log.warning("%s", "; ".join([self._progress.summary(), *self._progress.failures()]))
            raise
        if self._progress is not None:
            _log.info("%s", self._progress.summary())
            self._raise(self._progress)
        return result

    def launch(self, launcher: Launcher, batch: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
        """Run a batch; failures are recorded, so that Hydra continues with the next batch."""
        jobs = self._jobs(batch, first)
        if self._progress is None:
            self._progress = Progress(sum(map(len, self.overrides or [])))
        try:
            errors = launch(launcher, [], jobs, self._progress)
        except Exception as error:
            if isinstance(error, MetadialogError) or not any(job.directory.exists() for job in jobs):
                raise
            _log.warning("the launcher failed: %s", one_line(error))
            for job in jobs:
                self._progress.end(job, read_outcome(job.directory))
            errors = []
        unexpected = [error for error in errors if not isinstance(error, _EXPECTED)]
        self._unexpected = self._unexpected or next(iter(unexpected), None)
        done = JobReturn()
        done.status, done.return_value = JobStatus.COMPLETED, None
        return [done] * len(jobs)

    def _jobs(self, batch: Sequence[Sequence[str]], first: int) -> list[Job]:
        config, context = self.config, self.hydra_context
        if config is None or context is None:
            raise RuntimeError("Hydra sets a sweeper up before it sweeps")
        base = Path(str(config.hydra.sweep.dir))
        plain: Any = OmegaConf.to_container(config.hydra.sweep, resolve=False)
        labels = varied([overrides for part in self.overrides or [] for overrides in part])
        return [
            Job(
                number,
                base / (str(number) if plain["subdir"] == _BY_NUMBER else subdirectory(context, config, lines, number)),
                lines,
                labels[number],
            )
            for number, lines in enumerate(batch, first)
        ]

    def _raise(self, progress: Progress) -> None:
        """Raise an error for all failures, if any.

        Raises:
            RunError: it names all of them.
        """
        failures = progress.failures()
        if self._unexpected is not None:
            for line in failures:
                _log.warning("failed: %s", line)
            raise self._unexpected
        if failures:
            raise RunError("\n".join([f"{len(failures)} of {progress.total} runs did not finish:", *failures]))


class _Reporting(Launcher):
    """A launcher that reports its jobs."""

    def __init__(self, launcher: Launcher, sweeper: ReportingBasicSweeper) -> None:
        self._launcher = launcher
        self._sweeper = sweeper

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Pass on the arguments of Hydra."""
        self._launcher.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run jobs."""
        return self._sweeper.launch(self._launcher, job_overrides, initial_job_idx)
