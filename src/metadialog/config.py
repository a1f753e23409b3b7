"""Check a composed config against the signatures of the classes that it names, and build objects from it.

Each config node names a class or a function in `_target_`, whose options (`metadialog.options`) are the schema of the
node. Unlike Hydra, this check also refuses unknown options that are added with `+`, such as `+algorithm.lrr=3`.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ConfigDict, TypeAdapter, ValidationError

from metadialog.errors import ConfigError
from metadialog.options import defaults, required, schema, supplied
from metadialog.trust import resolve

MISSING = "???"
_STRICT = ConfigDict(strict=True, arbitrary_types_allowed=True, allow_inf_nan=False)
# The parts of pydantic's messages around "should ...".
_PYDANTIC = re.compile(r"^\w+ (?=should )|^Value error, | after validation, not \d+$")


def plain(config: DictConfig) -> dict[str, Any]:
    """Return the config as plain Python values, with interpolations resolved; missing values stay `???`.

    Raises:
        ConfigError: an interpolation cannot be resolved.
    """
    try:
        return cast("dict[str, Any]", OmegaConf.to_container(config, resolve=True))
    except OmegaConfBaseException as error:
        key = f"{error.full_key}: " if error.full_key else ""
        raise ConfigError(f"{key}{str(error).splitlines()[0]}") from error


def check(config: Mapping[str, Any], path: str = "") -> None:
    """Check a resolved config against the signatures of the classes that it names.

    Args:
        config: the config, or a node of it.
        path: path of the node.

    Raises:
        ConfigError: with one line for each unknown key, missing value, wrong type or value out of range.
    """
    problems = list(_problems(config, path, _leaves(config, path)))
    if problems:
        raise ConfigError("\n".join(problems))


def complete(config: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Add missing options with Python defaults to a config, such as one of an earlier version.

    Args:
        config: the config, or a node of it; its classes are imported, so they must be trusted.
        path: path of the node.
    """
    completed = {
        name: complete(value, _join(path, name)) if isinstance(value, Mapping) else value
        for name, value in config.items()
    }
    name = config.get("_target_")
    if not path or not isinstance(name, str):
        return completed
    target = resolve(name, path)
    needed = required(target)
    return {**{option: value for option, value in defaults(target).items() if option not in needed}, **completed}


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return a hint with the names closest to a wrong one, and all valid names."""
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    return f"{hint}valid: {', '.join(names)}" if names else "there are no valid names"


def unknown_option(path: str, siblings: Iterable[str], leaves: Iterable[str]) -> str:
    """Return the message for an unknown option, with suggestions."""
    parent, _, name = path.rpartition(".")
    prefix = f"{parent}." if parent else ""
    close = difflib.get_close_matches(name, list(siblings), n=2, cutoff=0.6)
    candidates = [f"{prefix}{match}" for match in close]
    candidates += [leaf for leaf in leaves if leaf.rpartition(".")[2] == name and leaf not in (*candidates, path)]
    # Its siblings have been compared above; the parent that they share would make all of them look similar.
    others = [leaf for leaf in leaves if leaf.rpartition(".")[0] != parent and not leaf.endswith("_target_")]
    candidates = candidates or difflib.get_close_matches(path, others, n=2, cutoff=0.6)
    hint = f"did you mean {' or '.join(candidates[:3])}? " if candidates else ""
    where = parent or "the top level"
    return f"{path}: no such option; {hint}options of {where}: {', '.join(sorted(siblings))}"


def _problems(node: Mapping[str, Any], path: str, leaves: list[str]) -> Iterator[str]:
    target = _target(node, path)
    if isinstance(target, str):
        yield target
        return
    options = schema(target)
    for name in node:
        if name != "_target_" and name not in options:
            yield unknown_option(_join(path, name), options, leaves)
    needed = required(target)
    found = [
        problem
        for name, annotation in options.items()
        if name in node or name in needed
        for problem in _value_problems(node, name, annotation, _join(path, name), leaves)
    ]
    yield from found
    if path and not found and _is_complete(node, options, needed) and not supplied(target):
        yield from _construction_problem(target, node)


def _target(node: Mapping[str, Any], path: str) -> Callable[..., Any] | str:
    """Return the class or function in `_target_`, or a message if there is a problem with it."""
    name = node.get("_target_")
    where = path or "the config"
    if not isinstance(name, str):
        return f"{where}: has no _target_, the class or function that it configures"
    try:
        return resolve(name, path)
    except ConfigError as error:
        return str(error)


def _value_problems(node: Mapping[str, Any], name: str, annotation: Any, path: str, leaves: list[str]) -> Iterator[str]:
    if name not in node:
        yield f"{path}: is missing in its yaml, or was removed by ~{path}"
        return
    value = node[name]
    if value == MISSING:
        yield f"{path}: must be given ({_describe(annotation)}), as {path}=..."
    elif isinstance(value, Mapping) and "_target_" in value:
        yield from _problems(value, path, leaves)
    else:
        found = list(_type_problems(annotation, value, path))
        yield from found or _nested_problems(value, path, leaves)


def _nested_problems(value: object, path: str, leaves: list[str]) -> Iterator[str]:
    """Check the nodes inside a plain mapping or list."""
    if isinstance(value, Mapping) and "_target_" in value:
        yield from _problems(value, path, leaves)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _nested_problems(inner, _join(path, str(name)), leaves)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _nested_problems(inner, f"{path}.{index}", leaves)


def _type_problems(annotation: Any, value: object, path: str) -> Iterator[str]:
    adapter = TypeAdapter[Any](annotation, config=_STRICT)
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        # A union reports each of its members; the last one is the most specific.
        problem = error.errors(include_url=False)[-1]
        yield f"{path}={show(value)}: {_PYDANTIC.sub('', problem['msg'])}"


def _construction_problem(target: Callable[..., Any], node: Mapping[str, Any]) -> Iterator[str]:
    """Build a component that needs only its config, so that it checks what a signature cannot express."""
    try:
        target(**{name: value for name, value in node.items() if name != "_target_"})
    except ConfigError as error:
        yield str(error)


def _is_complete(node: Mapping[str, Any], options: Mapping[str, object], needed: frozenset[str]) -> bool:
    values = {name: value for name, value in node.items() if name != "_target_"}
    if not needed <= set(values) <= set(options) or MISSING in [v for v in values.values() if isinstance(v, str)]:
        return False
    return not any(any(_type_problems(options[name], value, "")) for name, value in values.items())


def _describe(annotation: Any) -> str:
    json_schema = TypeAdapter[Any](annotation, config=ConfigDict(arbitrary_types_allowed=True)).json_schema()
    return str(json_schema.get("type", "a value"))


def _leaves(node: Mapping[str, Any], path: str = "") -> list[str]:
    results = []
    for name, value in node.items():
        here = _join(path, name)
        results += _leaves(value, here) if isinstance(value, Mapping) else [here]
    return results


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def show(value: object) -> str:
    """Format a value as on the command line."""
    return "null" if value is None else str(value)


def build(node: Mapping[str, Any], *supplied: object) -> Any:
    """Build the object that a config node describes.

    Unlike `hydra.utils.instantiate` it does not wrap errors of the component.

    Args:
        node: a resolved config node with a `_target_`.
        supplied: positional arguments supplied by the program.
    """
    options = {name: value for name, value in node.items() if name != "_target_"}
    return resolve(node["_target_"])(*supplied, **options)
