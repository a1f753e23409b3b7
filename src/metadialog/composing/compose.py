"""Composition of configs without Hydra's application, and without changing its global state."""

import copy
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from metadialog.composing.explain import check_choices, explain
from metadialog.composing.secrets import refuse_secrets
from metadialog.config import plain
from metadialog.errors import ConfigError
from metadialog.hydra_internals import (
    VERSION,
    ConfigLoaderImpl,
    GlobalHydra,
    HydraConfig,
    HydraException,
    Override,
    OverridesParser,
    RunMode,
    SearchPathQuery,
    compose,
    initialize_config_module,
)
from metadialog.runs import layout
from metadialog.runs.atomic import write_atomically

PACKAGE = "metadialog.conf"

_lock = threading.RLock()  # Hydra composes with global state


@contextmanager
def initialised(command: str, config_dir: str | None = None) -> Iterator[None]:
    """Initialise Hydra with the packaged configs and an additional folder, within a context; one thread at a time.

    Args:
        command: the command.
        config_dir: folder of additional configs, which come after the packaged ones.

    Raises:
        ConfigError: the folder does not exist.
    """
    with _lock:
        before = GlobalHydra.instance().hydra
        GlobalHydra.instance().clear()
        try:
            with initialize_config_module(PACKAGE, job_name=command, **VERSION):
                if config_dir is not None:
                    add_config_dir(config_dir)
                yield
        finally:
            GlobalHydra.instance().hydra = before


def add_config_dir(folder: str) -> None:
    """Add a config folder to an initialised Hydra, after the packaged configs.

    Raises:
        ConfigError: the folder does not exist.
    """
    if not Path(folder).is_dir():
        raise ConfigError(f"--config-dir {folder}: there is no such directory")
    loader = cast("ConfigLoaderImpl", GlobalHydra.instance().config_loader())
    search_path = loader.get_search_path()
    # As in Hydra's application: packaged configs take precedence over those of the same name.
    path, anchor = f"file://{Path(folder).resolve()}", SearchPathQuery(provider="schema")
    search_path.prepend(provider="command-line", path=path, anchor=anchor)
    loader.repository.initialize_sources(search_path)  # they were initialised before this one was added


@contextmanager
def as_job(config: DictConfig) -> Iterator[None]:
    """Resolve `${hydra:...}` as in the job of a config, within the context.

    Args:
        config: config composed with `hydra`.
    """
    with _lock:
        before = HydraConfig.instance().cfg
        HydraConfig.instance().set_config(config)
        try:
            yield
        finally:
            HydraConfig.instance().cfg = before


def parse(overrides: Sequence[str], config_name: str) -> list[Override]:
    """Parse overrides. Requires an initialised Hydra.

    Raises:
        ConfigError: one of them cannot be parsed.
    """
    loader = GlobalHydra.instance().config_loader()
    try:
        return OverridesParser.create(config_loader=loader).parse_overrides(list(overrides))
    except HydraException as error:
        raise explain(error, config_name, list(overrides)) from error


def compose_job(config_name: str, overrides: Sequence[str], *, with_hydra: bool = False) -> DictConfig:
    """Compose the config of a job. Requires an initialised Hydra.

    Raises:
        ConfigError: it cannot be composed; the message names the wrong override.
    """
    check_choices(list(overrides))
    try:
        return compose(config_name, list(overrides), return_hydra_config=with_hydra)
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, config_name, list(overrides)) from error


@dataclass(frozen=True, slots=True)
class Composed:
    """The composed config of a job.

    Attributes:
        config: the config, with the node `hydra`.
    """

    config: DictConfig

    def is_single(self) -> bool:
        """Tell whether the config is of a single job, and mark it as such; otherwise it is of a sweep."""
        if self.config.hydra.mode == RunMode.MULTIRUN:
            return False
        with read_write(self.config.hydra), open_dict(self.config.hydra):
            self.config.hydra.mode = RunMode.RUN
        return True

    @property
    def task(self) -> DictConfig:
        """The config without `hydra`, with unresolved interpolations."""
        task = copy.deepcopy(self.config)
        with read_write(task), open_dict(task):
            task.pop("hydra", None)
        return task

    @property
    def overrides(self) -> list[str]:
        """The overrides, except those of Hydra's options."""
        return [str(line) for line in self.config.hydra.overrides.task]

    def resolve(self, directory: Path | None = None) -> dict[str, Any]:
        """Return the config without `hydra` as plain values.

        Args:
            directory: output directory of the job, for `${hydra:runtime.output_dir}`; None for the default.

        Raises:
            ConfigError: an interpolation cannot be resolved, or refers to a secret.
        """
        refuse_secrets(self.config)
        config = copy.deepcopy(self.config)
        if directory is not None or OmegaConf.is_missing(config.hydra.runtime, "output_dir"):
            _set_output(config, self.directory() if directory is None else directory)
        with as_job(config):
            return plain(Composed(config).task)

    def directory(self) -> Path:
        """Return the output directory of the job, with the current time if it contains the time."""
        config = copy.deepcopy(self.config)
        OmegaConf.clear_cache(config)  # the cached time
        with as_job(config):
            return Path(str(config.hydra.run.dir)).absolute()

    def write(self, run: Path) -> None:
        """Write how the run was composed to its directory, in the files of Hydra's jobs."""
        hydra = OmegaConf.masked_copy(self.config, "hydra")
        _set_output(hydra, run)
        write_atomically(layout.hydra_config(run), OmegaConf.to_yaml(self.task))
        write_atomically(layout.hydra_settings(run), OmegaConf.to_yaml(hydra))
        write_atomically(layout.hydra_overrides(run), OmegaConf.to_yaml(self.config.hydra.overrides.task))


def _set_output(config: DictConfig, directory: Path) -> None:
    with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
        config.hydra.runtime.output_dir = str(directory.absolute())


def running_job(task: DictConfig) -> tuple[Composed, Path]:
    """Return the composed config and the directory of the job that Hydra is running.

    Args:
        task: config that Hydra passes to the job.
    """
    hydra = copy.deepcopy(HydraConfig.get())
    config = copy.deepcopy(task)
    with read_write(config), open_dict(config):
        config.hydra = hydra
    return Composed(config), Path(hydra.runtime.output_dir)
