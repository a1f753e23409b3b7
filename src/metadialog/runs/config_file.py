"""`config.yaml` of a run, and what Hydra wrote of it under `.hydra`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metadialog.errors import RunError
from metadialog.runs import layout
from metadialog.runs.reading import validated
from metadialog.runs.schemas import HydraNode, HydraSettings
from metadialog.runs.yaml_file import read_mapping, read_yaml

_WHAT = "config of a run"
# What every run has been made with; a file without them was not written whole.
_RUN_KEYS = ("dataset", "split", "sampler", "algorithm", "evaluation", "seed", "logger", "device", "cache")


def read_config(path: Path) -> dict[str, Any]:
    """Read a config that a run has written, as data.

    Raises:
        RunError: the file is missing, or holds no config; or its values are not filled in.
    """
    return read_mapping(path, _WHAT)


def read_run_config(path: Path) -> dict[str, Any]:
    """Read the config of a run of `train` or `evaluate`, which has certain keys.

    Raises:
        RunError: see `read_config`; or keys are missing.
    """
    config = read_config(path)
    missing = [key for key in _RUN_KEYS if key not in config]
    if missing:
        raise RunError(f"{path}: damaged or incomplete: the key {missing[0]} should be in it")
    return config


def read_choices(run: Path) -> dict[str, str]:
    """Read which choice a run made in each config group, from what Hydra wrote.

    Raises:
        RunError: the file is missing, or says no such thing.
    """
    path = layout.hydra_settings(run)
    content = read_yaml(path, "settings of Hydra")
    settings = validated(content, HydraSettings, str(path), "settings of Hydra")
    return {group: choice for group, choice in settings.hydra.runtime.choices.items() if choice is not None}


def read_multirun(path: Path) -> HydraNode:
    """Read how a multirun was started, from what Hydra wrote.

    Raises:
        RunError: the file is missing, or says no such thing.
    """
    content = read_yaml(path, "description of a sweep")
    return validated(content, HydraSettings, str(path), "description of a sweep").hydra


def read_overrides(run: Path) -> list[str]:
    """Read the overrides of a run, from what Hydra wrote; none where it wrote none.

    Raises:
        RunError: the file is damaged.
    """
    path = layout.hydra_overrides(run)
    if not path.exists():
        return []
    content = read_yaml(path, "list of overrides")
    if not isinstance(content, list) or not all(isinstance(line, str) for line in content):
        raise RunError(f"{path}: no list of overrides: each should be a text such as seed=1")
    return content


def targets(node: Mapping[str, Any], path: str = "") -> dict[str, str]:
    """Return every `_target_` of a config by the path of its node."""
    found = {}
    for name, value in node.items():
        if name == "_target_":
            found[path] = str(value)
        elif isinstance(value, Mapping):
            found |= targets(value, f"{path}.{name}" if path else name)
    return found
