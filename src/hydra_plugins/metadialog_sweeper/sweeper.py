"""The Hydra sweeper plugin, which connects Hydra's config and launcher with a search."""

import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import configure_log
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.metadialog_sweeper.launching import composed, keep_submitit_files_together, launch
from metadialog.config import build
from metadialog.errors import ConfigError, RunError
from metadialog.hydra_internals import naming_sweeper, store_sweeper
from metadialog.overrides import quote
from metadialog.sweeps import launchers
from metadialog.sweeps.directory import Record, SweepDirectory
from metadialog.sweeps.identity import identify
from metadialog.sweeps.plan import make_plan
from metadialog.sweeps.search import Search, best_record, summary
from metadialog.sweeps.settings import Sweep
from metadialog.threads import cores

NAME = "metadialog"

store_sweeper(NAME, {"_target_": "hydra_plugins.metadialog_sweeper.sweeper.MetadialogSweeper"})

_log = logging.getLogger(__name__)


def register() -> None:
    """Register the sweepers with Hydra, which does not find plugins in editable installs."""
    Plugins.instance().register(MetadialogSweeper)
    # When Hydra discovers plugins, it recreates the base class of this one.
    from hydra_plugins.metadialog_sweeper.basic import ReportingBasicSweeper, replace_basic_sweeper

    Plugins.instance().register(ReportingBasicSweeper)
    replace_basic_sweeper()


class MetadialogSweeper(Sweeper):
    """Runs the search of the config node `sweep` with the chosen launcher."""

    def __init__(self) -> None:
        self.hydra_context: HydraContext | None = None
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store the arguments of Hydra."""
        self.hydra_context = hydra_context
        self.config = config
        keep_submitit_files_together(config)
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> float | None:
        """Run the missing trials of the sweep.

        Args:
            arguments: overrides of the user, except Hydra's own.

        Returns:
            The best validation loss, nats per token.

        Raises:
            ConfigError: the config has no sweep, or its storage cannot be reached.
            RunError: no trial has finished, or nothing can be launched.
        """
        config, launcher, context = self.config, self.launcher, self.hydra_context
        if config is None or launcher is None or context is None:
            raise RuntimeError("Hydra sets a sweeper up before it sweeps")
        if config.get("sweep") is None:
            raise ConfigError(f"hydra/sweeper={NAME}: goes with sweep=optuna, sweep=random or sweep=grid")
        configure_log(config.hydra.hydra_logging, config.hydra.verbose)
        settings: Sweep = build(_plain(config.sweep))
        choices = config.hydra.runtime.choices
        overrides = OverridesParser.create(config_loader=context.config_loader).parse_overrides(arguments)
        plan = make_plan(settings.space, choices.algorithm, overrides)
        choice = str(choices["hydra/launcher"])
        jobs = settings.jobs or launchers.default_jobs(choice)
        directory = SweepDirectory(Path(str(config.hydra.sweep.dir)).absolute())
        threads = _threads(config, choice, jobs)

        def extra(number: int) -> list[str]:
            said = [] if threads is None else [f"threads={threads}"]
            return [f"hydra.sweep.dir={quote(str(directory.path))}", *_names(config, settings.title, number), *said]

        def compose(lines: list[str]) -> dict[str, Any]:
            return composed(context, config, [*lines, *naming_sweeper(NAME)])

        _log.info(
            "sweep %s: at most %d at a time, %s of %d cores each, in %s",
            *(settings.title, jobs, config.threads if threads is None else threads, cores(), directory.path),
        )
        identity = identify(plan, compose)
        start = partial(launch, launcher, naming_sweeper(NAME))
        search = Search(settings, plan, identity, directory, jobs, extra, start)
        records = search.run(_start(config, arguments))
        return _best_value(records, directory.path)


def _start(config: DictConfig, arguments: list[str]) -> dict[str, Any]:
    """Return how the sweep was started, which `metadialog sweeps resume` repeats."""
    return {
        "arguments": arguments,
        "hydra": list(config.hydra.overrides.hydra),
        "config_sources": OmegaConf.to_container(config.hydra.runtime.config_sources),
        "folder": os.getcwd(),  # noqa: PTH109
    }


def _best_value(records: Sequence[Record], directory: Path) -> float | None:
    """Report the trials of a sweep, and return the best value.

    Raises:
        RunError: no trial has finished.
    """
    best = best_record(records)
    _log.info("%s; in %s", summary(records), directory)
    failed = [f"#{record.number}: {record.reason}" for record in records if record.state == "failed"]
    if best is None:
        raise RunError("\n".join([f"{directory}: no trial has finished", *failed]))
    for line in failed:
        _log.warning("failed: %s", line)
    return best.value


def _threads(config: DictConfig, choice: str, jobs: int) -> int | None:
    """Return the number of threads to set for each run; None if it is set already or left to the run."""
    if config.threads is not None:
        return None
    return launchers.threads(choice, _plain(config.hydra.launcher), jobs)


def _names(config: DictConfig, sweep: str, number: int) -> list[str]:
    """Return the overrides that group a sweep's runs in Weights & Biases, each with its own name."""
    logger, path = _plain(config.logger), "logger"
    if isinstance(logger.get("wandb"), dict):  # logger=several
        logger, path = logger["wandb"], "logger.wandb"
    group = os.environ.get("WANDB_RUN_GROUP") or sweep
    title = f"{(os.environ.get('WANDB_NAME') or sweep)[:100]}-{number}"
    settings = {"group": group[:128], "title": title}
    return [f"{path}.{key}={quote(value)}" for key, value in settings.items() if logger.get(key, "") is None]


def _plain(node: DictConfig) -> dict[str, Any]:
    plain: dict[str, Any] = OmegaConf.to_container(node, resolve=True)  # type: ignore[assignment]
    return plain
