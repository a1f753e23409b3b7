"""Composing one config as Hydra does, without Hydra's application, and without leaving anything in its globals."""

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
VERSION_BASE = "1.3"

_lock = threading.RLock()  # Hydra keeps what it composes with in globals


@contextmanager
def initialised(command: str, config_dir: str | None = None) -> Iterator[None]:
    """Let Hydra find our configs, and those in a folder, for as long as this lasts; one thread at a time.

    Args:
        command: what is composed for.
        config_dir: a folder of further configs, which come after ours.

    Raises:
        ConfigError: there is no such folder.
    """
    with _lock:
        before = GlobalHydra.instance().hydra
        GlobalHydra.instance().clear()
        try:
            with initialize_config_module(PACKAGE, version_base=VERSION_BASE, job_name=command):
                if config_dir is not None:
                    add_config_dir(config_dir)
                yield
        finally:
            GlobalHydra.instance().hydra = before


def add_config_dir(folder: str) -> None:
    """Let an initialised Hydra find configs in a folder too, after its own.

    Raises:
        ConfigError: there is no such folder.
    """
    if not Path(folder).is_dir():
        raise ConfigError(f"--config-dir {folder}: there is no such directory")
    loader = cast("ConfigLoaderImpl", GlobalHydra.instance().config_loader())
    search_path = loader.get_search_path()
    # As Hydra's application does it: our own configs come first, where both have one of the same name.
    path, anchor = f"file://{Path(folder).resolve()}", SearchPathQuery(provider="schema")
    search_path.prepend(provider="command-line", path=path, anchor=anchor)
    loader.repository.initialize_sources(search_path)  # it looked for them once, before this one was named


@contextmanager
def as_job(config: DictConfig) -> Iterator[None]:
    """Let `${hydra:...}` mean what it means in the job that a config is of, for as long as this lasts.

    Args:
        config: composed with `hydra`.
    """
    with _lock:
        before = HydraConfig.instance().cfg
        HydraConfig.instance().set_config(config)
        try:
            yield
        finally:
            HydraConfig.instance().cfg = before


def parse(overrides: Sequence[str], config_name: str) -> list[Override]:
    """Parse overrides; needs an initialised Hydra.

    Raises:
        ConfigError: one of them cannot be read.
    """
    loader = GlobalHydra.instance().config_loader()
    try:
        return OverridesParser.create(config_loader=loader).parse_overrides(list(overrides))
    except HydraException as error:
        raise explain(error, config_name, list(overrides)) from error


def compose_job(config_name: str, overrides: Sequence[str], *, with_hydra: bool = False) -> DictConfig:
    """Compose a job as Hydra will; needs an initialised Hydra.

    Raises:
        ConfigError: it does not compose; the message names the override at fault.
    """
    check_choices(list(overrides))
    try:
        return compose(config_name, list(overrides), return_hydra_config=with_hydra)
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, config_name, list(overrides)) from error


@dataclass(frozen=True, slots=True)
class Composed:
    """What Hydra has composed of one job.

    Attributes:
        config: the whole of it, with the node `hydra`.
    """

    config: DictConfig

    def is_single(self) -> bool:
        """Say whether the config is that of one job, and mark it as such; else it is that of a sweep."""
        if self.config.hydra.mode == RunMode.MULTIRUN:
            return False
        with read_write(self.config.hydra), open_dict(self.config.hydra):
            self.config.hydra.mode = RunMode.RUN
        return True

    @property
    def task(self) -> DictConfig:
        """The config without `hydra`, with its interpolations as they stand."""
        task = copy.deepcopy(self.config)
        with read_write(task), open_dict(task):
            task.pop("hydra", None)
        return task

    @property
    def overrides(self) -> list[str]:
        """What was asked for beyond the defaults, without what was asked of Hydra."""
        return [str(line) for line in self.config.hydra.overrides.task]

    def resolve(self, directory: Path | None = None) -> dict[str, Any]:
        """Return the config without `hydra` as plain values.

        Args:
            directory: where the job writes, which `${hydra:runtime.output_dir}` stands for; None for where it would.

        Raises:
            ConfigError: an interpolation points nowhere, or to a secret.
        """
        refuse_secrets(self.config)
        config = copy.deepcopy(self.config)
        if directory is not None or OmegaConf.is_missing(config.hydra.runtime, "output_dir"):
            _set_output(config, self.directory() if directory is None else directory)
        with as_job(config):
            return plain(Composed(config).task)

    def directory(self) -> Path:
        """Return where the job writes, with the time in it as it is now, where it is asked for."""
        config = copy.deepcopy(self.config)
        OmegaConf.clear_cache(config)  # of the time
        with as_job(config):
            return Path(str(config.hydra.run.dir)).absolute()

    def write(self, run: Path) -> None:
        """Write beside a run how it was composed, in the files that Hydra's own jobs have."""
        hydra = OmegaConf.masked_copy(self.config, "hydra")
        _set_output(hydra, run)
        write_atomically(layout.hydra_config(run), OmegaConf.to_yaml(self.task))
        write_atomically(layout.hydra_settings(run), OmegaConf.to_yaml(hydra))
        write_atomically(layout.hydra_overrides(run), OmegaConf.to_yaml(self.config.hydra.overrides.task))


def _set_output(config: DictConfig, directory: Path) -> None:
    with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
        config.hydra.runtime.output_dir = str(directory.absolute())


def running_job(task: DictConfig) -> tuple[Composed, Path]:
    """Return what was composed of the job that Hydra is running, and the job's directory.

    Args:
        task: the config that Hydra gives to the job.
    """
    hydra = copy.deepcopy(HydraConfig.get())
    config = copy.deepcopy(task)
    with read_write(config), open_dict(config):
        config.hydra = hydra
    return Composed(config), Path(hydra.runtime.output_dir)
