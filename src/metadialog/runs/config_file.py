"""Reading the resolved config that a run has written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from metadialog.config import plain
from metadialog.errors import RunError


def read_config(path: Path) -> dict[str, Any]:
    """Read a resolved config that a run has written.

    Raises:
        RunError: the file is missing, or holds no config.
    """
    try:
        config = OmegaConf.load(path)
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise RunError(f"{path}: no readable config of a run: {' '.join(str(error).split())}") from error
    if not isinstance(config, DictConfig):
        raise RunError(f"{path}: no config of a run: it should hold keys and values")
    return plain(config)


def flat(config: object, path: str = "") -> dict[str, Any]:
    """Return a config as option -> value, where an option is `group.name`."""
    if isinstance(config, Mapping):
        parts = (flat(value, f"{path}.{name}" if path else str(name)) for name, value in config.items())
        return {key: value for part in parts for key, value in part.items()}
    return {path: config} if path else {}
