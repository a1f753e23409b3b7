"""Launching of the jobs of a sweep with any Hydra launcher, with progress messages."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from metadialog.sweeps.outcomes import Outcome, read_outcome
from metadialog.sweeps.progress import Job, Progress
from metadialog.sweeps.search import one_line

_SUBMITIT_DEFAULT = "${hydra.sweep.dir}/.submitit/%j"
_SUBMITIT_FOLDER = "${hydra.sweep.dir}/.submitit"


def launch(launcher: Launcher, common: Sequence[str], jobs: Sequence[Job], progress: Progress) -> list[Exception]:
    """Run jobs, and report each as it ends.

    Args:
        launcher: runs the jobs; Hydra's basic one runs them in this process, one after another.
        common: overrides of every job, which its record leaves out.
        jobs: one or more jobs.
        progress: receives the outcomes.

    Returns:
        The exceptions of failed jobs, in order.

    Raises:
        Exception: the launcher failed, for example because a process was killed.
    """
    from hydra._internal.core_plugins.basic_launcher import BasicLauncher  # recreated when Hydra discovers plugins

    if not isinstance(launcher, BasicLauncher):
        with progress.watching(jobs):
            results = launcher.launch([[*job.overrides, *common] for job in jobs], initial_job_idx=jobs[0].number)
        return [error for job, result in zip(jobs, results, strict=True) if (error := _end(job, result, progress))]
    errors = []
    with _without_counts():
        for job in jobs:
            [result] = launcher.launch([[*job.overrides, *common]], initial_job_idx=job.number)
            error = _end(job, result, progress)
            errors += [] if error is None else [error]
    return errors


def composed(context: HydraContext, config: DictConfig, overrides: list[str]) -> dict[str, Any]:
    """Return the resolved config of a job, without Hydra's own part."""
    return _resolved(_job_config(context, config, overrides, 0))


def subdirectory(context: HydraContext, config: DictConfig, overrides: Sequence[str], number: int) -> str:
    """Return the directory of a job, within that of its sweep."""
    job = _job_config(context, config, overrides, number)
    with _current(job):
        return str(job.hydra.sweep.subdir)


def keep_submitit_files_together(config: DictConfig) -> None:
    """Put submitit's files into one folder, instead of one named `%j`.

    The plugin's default relies on submitit to replace `%j` by the job number, which it does only for some files; all
    file names contain the number anyway.
    """
    launcher = OmegaConf.to_container(config.hydra.launcher, resolve=False)
    if isinstance(launcher, dict) and launcher.get("submitit_folder") == _SUBMITIT_DEFAULT:
        with open_dict(config.hydra):
            config.hydra.launcher.submitit_folder = _SUBMITIT_FOLDER


def _end(job: Job, result: JobReturn, progress: Progress) -> Exception | None:
    """Report the outcome of a job; return its exception."""
    error = result._return_value if result.status == JobStatus.FAILED else None  # noqa: SLF001 - the property raises it
    outcome = read_outcome(job.directory)
    if isinstance(error, Exception) and outcome.state not in ("failed", "pruned"):
        outcome = Outcome("failed", None, one_line(error))
    progress.end(job, outcome)
    return error if isinstance(error, Exception) else None


def _job_config(context: HydraContext, config: DictConfig, overrides: Sequence[str], number: int) -> DictConfig:
    job = context.config_loader.load_sweep_config(config, list(overrides))
    with open_dict(job):
        job.hydra.job.id = job.hydra.job.num = number
    return job


def _resolved(job: DictConfig) -> dict[str, Any]:
    with _current(job):
        collected: Mapping[str, Any] = OmegaConf.to_container(job, resolve=False)  # type: ignore[assignment]
        return {str(key): _plain(job, key) for key in collected if key != "hydra"}


def _plain(job: DictConfig, key: str) -> Any:  # noqa: ANN401 - whatever is there
    value = job[key]
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


@contextmanager
def _current(job: DictConfig) -> Iterator[None]:
    """Resolve `${hydra:...}` as in the job, within the context."""
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(job)
    try:
        yield
    finally:
        HydraConfig.instance().cfg = before


@contextmanager
def _without_counts() -> Iterator[None]:
    """Suppress the line `Launching 1 jobs locally`, as progress messages replace it."""

    def keep(record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("Launching")

    log = logging.getLogger("hydra._internal.core_plugins.basic_launcher")
    log.addFilter(keep)
    try:
        yield
    finally:
        log.removeFilter(keep)
