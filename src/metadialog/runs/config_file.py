"""Reading of the `config.yaml` of a run, and of Hydra's files in `.hydra`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metadialog.errors import RunError
from metadialog.moved_names import up_to_date
from metadialog.runs import layout
from metadialog.runs.reading import is_there, parse_json, read_text, validated
from metadialog.runs.schemas import ExchangesConfig, HydraNode, HydraRuntime, HydraSettings, ModelConfig
from metadialog.runs.yaml_file import LIMIT, read_mapping, read_yaml
from metadialog.trust import check_strangers

_WHAT = "config of a run"
# Keys of every run's config; a file without them is incomplete.
_RUN_KEYS = ("dataset", "split", "sampler", "algorithm", "evaluation", "seed", "logger", "device", "cache")


def read_config(path: Path) -> dict[str, Any]:
    """Read a config written by a run, as data.

    Raises:
        RunError: the file is missing, is not a config, or has unresolved values.
    """
    return up_to_date(read_mapping(path, _WHAT))


def read_run_config(path: Path, *, trusted_only: bool = True) -> dict[str, Any]:
    """Read the config of a run of `train` or `evaluate`, and check its keys.

    Args:
        path: path of the file.
        trusted_only: whether to refuse untrusted classes, as is needed before building objects.

    Raises:
        RunError: see `read_config`; also if keys are missing, or an untrusted class is named.
    """
    config = read_config(path)
    if trusted_only:
        check_strangers(config, path)
    missing = [key for key in _RUN_KEYS if key not in config]
    if missing:
        raise RunError(f"{path}: damaged or incomplete: the key {missing[0]} should be in it")
    return config


def read_model_config(path: Path) -> dict[str, Any]:
    """Read the config of an exported model: JSON, or YAML of version 0.1.0.

    Raises:
        RunError: the file is missing or damaged.
    """
    what = "config of a model"
    content: object
    if path.suffix == ".json":
        content = parse_json(read_text(path, LIMIT, what), path, what)
    else:
        content = read_mapping(path, what)
    config = validated(content, ModelConfig, path, what)
    validated(config.sampler, ExchangesConfig, f"{path}: sampler", what)
    return up_to_date(config.model_dump(exclude_unset=True))


def read_choices(run: Path) -> dict[str, str]:
    """Read the choice of a run in each config group from Hydra's files.

    Raises:
        RunError: the file is missing or damaged.
    """
    return {group: choice for group, choice in _runtime(run).choices.items() if choice is not None}


def read_config_dir(run: Path) -> str | None:
    """Read the additional config folder of a run; None if there was none.

    Raises:
        RunError: the file is missing or damaged.
    """
    named = [source.path for source in _runtime(run).config_sources if source.provider == "command-line"]
    return named[-1].removeprefix("file://") if named else None


def read_working_directory(run: Path) -> Path | None:
    """Read the working directory of a run, to which its relative paths refer; None if unknown.

    Raises:
        RunError: the file is missing or damaged.
    """
    folder = _runtime(run).cwd
    return Path(folder) if folder else None


def _runtime(run: Path) -> HydraRuntime:
    path = layout.hydra_settings(run)
    content = read_yaml(path, "settings of Hydra")
    return validated(content, HydraSettings, str(path), "settings of Hydra").hydra.runtime


def read_multirun(path: Path) -> HydraNode:
    """Read how a multirun was started from Hydra's files.

    Raises:
        RunError: the file is missing or damaged.
    """
    content = read_yaml(path, "description of a sweep")
    return validated(content, HydraSettings, str(path), "description of a sweep").hydra


def read_overrides(run: Path) -> list[str]:
    """Read the overrides of a run from Hydra's files; empty if there are none.

    Raises:
        RunError: the file is damaged.
    """
    path = layout.hydra_overrides(run)
    if not is_there(path):
        return []
    content = read_yaml(path, "list of overrides")
    if not isinstance(content, list) or not all(isinstance(line, str) for line in content):
        raise RunError(f"{path}: no list of overrides: each should be a text such as seed=1")
    return content


def flat(config: object, path: str = "") -> dict[str, Any]:
    """Flatten a config to option -> value, with options such as `group.name`."""
    if isinstance(config, Mapping):
        parts = (flat(value, f"{path}.{name}" if path else str(name)) for name, value in config.items())
        return {key: value for part in parts for key, value in part.items()}
    return {path: config} if path else {}
