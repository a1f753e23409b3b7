"""Safe reading of YAML files of run and sweep directories: no aliases, tags, resolvers or deep nesting."""

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from metadialog.errors import RunError
from metadialog.escapes import escaped, shortened
from metadialog.runs.reading import MAX_DEPTH, MIB, read_text, unreadable

LIMIT = 4 * MIB
_MAX_NODES = 200_000
_KEY = re.compile(r"[^\W\d][\w-]*")
_REFERENCE = re.compile(r"\$\{([\w.]+)\}")
_STANDARD_TAG = "tag:yaml.org,2002:"
_TAGS = {f"{_STANDARD_TAG}{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq")}


def read_yaml(path: Path, what: str) -> Any:  # noqa: ANN401 - as YAML has it
    """Read a YAML file as plain values; interpolations are not resolved.

    Args:
        path: path of the file.
        what: expected content, for messages, such as "config of a run".

    Raises:
        RunError: it cannot be read, or contains aliases, tags or deep nesting.
    """
    text = read_text(path, LIMIT, what)
    problem: Exception
    try:
        if not _check_events(text, path, what):  # OmegaConf would interpret a text as a key
            raise unreadable(path, what, "it should hold keys and values, or a list")
        return OmegaConf.to_container(OmegaConf.load(io.StringIO(text)), resolve=False)
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, OSError, RecursionError) as error:
        problem = error
    raise unreadable(path, what, str(problem)) from problem


def read_text_of(path: Path, what: str = "config") -> str:
    """Read a YAML file as text.

    Raises:
        RunError: it cannot be read.
    """
    return read_text(path, LIMIT, what)


def read_mapping(path: Path, what: str) -> dict[str, Any]:
    """Read a YAML file of keys and values, and resolve references to other keys.

    Raises:
        RunError: it cannot be read, is not a mapping, or refers to anything except its own keys, such as environment
            variables.
    """
    result = read_yaml(path, what)
    if not isinstance(result, dict):
        raise RunError(f"{path}: no {what}: it should hold keys and values")
    return cast("dict[str, Any]", _filled(result, result, path, ""))


def _check_events(text: str, path: Path, what: str) -> bool:
    """Check a YAML text before it is parsed; return whether it is a mapping or a list.

    Raises:
        RunError: it contains an alias, a tag, or too many values.
        YAMLError: it is not YAML.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = collections = 0
    for number, event in enumerate(yaml.parse(text, Loader=loader)):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise unreadable(path, what, f"line {line} holds an anchor or an alias, which this program does not write")
        if (tag := getattr(event, "tag", None)) is not None and tag not in {*_TAGS, "!"}:
            raise unreadable(path, what, f"line {line} holds the tag {shortened(tag, 60)}; it should have none")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        collections += depth
        if depth > MAX_DEPTH:
            raise unreadable(path, what, f"it is nested too deeply; it should have at most {MAX_DEPTH} levels")
        if number > _MAX_NODES:
            raise unreadable(path, what, f"it holds more than {_MAX_NODES:,} values")
    return collections > 0


def _filled(value: object, root: Mapping[str, Any], path: Path, key: str) -> object:
    """Resolve references to other keys in a value."""
    if isinstance(value, dict):
        for name in value:
            if not isinstance(name, str) or not _KEY.fullmatch(name) or (not key and name == "hydra"):
                raise RunError(f"{path}: {escaped(shortened(str(name), 60))!r} is no name of an option")
        return {name: _filled(inner, root, path, f"{key}.{name}" if key else name) for name, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, root, path, f"{key}[{index}]") for index, inner in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value
    reference = _REFERENCE.fullmatch(value)
    result: Any = root
    for name in reference.group(1).split(".") if reference else ():
        result = result.get(name) if isinstance(result, dict) else None
    if reference is None or isinstance(result, dict | list) or (isinstance(result, str) and "${" in result):
        raise RunError(
            f"{path}: {key}: {escaped(shortened(value, 60))} is not filled in; the config of a run is read as it is, "
            "and should hold the values themselves"
        )
    return result
