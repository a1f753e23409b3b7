"""Generation methods given by Python objects, the command line or requests."""

from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import resources
from typing import Any

import yaml

from metadialog.config import build, check, nearest
from metadialog.errors import ConfigError
from metadialog.generation.base import Generation
from metadialog.options import schema

GenerationLike = Generation | str | Mapping[str, Any] | None
"""A generation method, its name, or options such as `{"temperature": 0.7}`; None for the model's own."""


def as_generation(given: GenerationLike, own: Generation) -> Generation:
    """Return a generation method.

    Args:
        given: the method; the name of one (`greedy`, `sampling`, `beam`) with its defaults; or options, which modify
            the model's own method if it has them all, otherwise the first method that has, with an optional `name`.
        own: the model's own method.

    Raises:
        ConfigError: the method or an option does not exist, or a value is out of range.
    """
    if given is None:
        return own
    if isinstance(given, str):
        return _built(given, {})
    if isinstance(given, Mapping):
        options = {str(key): value for key, value in given.items() if key != "name"}
        name = given.get("name")
        if name is not None and not isinstance(name, str):
            raise ConfigError(f"generation.name={name}: should be one of {', '.join(sorted(ways()))}")
        return _built(name, options) if name else _changed(own, options)
    if not callable(getattr(given, "generate", None)):
        raise ConfigError(f"generation={given!r}: should be a name, options or an object that generates")
    return given


@cache
def ways() -> Mapping[str, Mapping[str, Any]]:
    """Return the config nodes of all generation methods, with their defaults."""
    folder = resources.files("metadialog.conf") / "generation"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name)
    return {file.name.removesuffix(".yaml"): yaml.safe_load(file.read_text(encoding="utf-8")) for file in files}


def _built(name: str, options: Mapping[str, Any]) -> Generation:
    if name not in ways():
        raise ConfigError(f"generation={name}: no such method; {nearest(name, ways())}")
    return _checked({**ways()[name], **options})


def _checked(node: Mapping[str, Any]) -> Generation:
    """Check and build a config node; results are cached, as checking takes longer than generating a token."""
    try:
        return _built_before(tuple(sorted(node.items())))
    except TypeError:  # an unhashable value, which the check refuses
        check(node, "generation")
        raise


@lru_cache(maxsize=256)
def _built_before(items: tuple[tuple[str, Any], ...]) -> Generation:
    check(dict(items), "generation")
    generation: Generation = build(dict(items))
    return generation


def _changed(own: Generation, options: Mapping[str, Any]) -> Generation:
    """Return the model's own method with other options, or the first method that has them."""
    if not options:
        return own
    if set(options) <= set(schema(type(own))):
        kept = {key: getattr(own, key) for key in schema(type(own)) if hasattr(own, key)}
        return _checked({"_target_": f"{type(own).__module__}.{type(own).__qualname__}", **kept, **options})
    for name in ("sampling", *ways()):
        if set(options) <= set(ways()[name]):
            kept = {"max_tokens": own.max_tokens} if hasattr(own, "max_tokens") else {}
            return _built(name, {**kept, **options})
    known = sorted({key for node in ways().values() for key in node} - {"_target_"})
    unknown = [key for key in options if key not in known]
    if unknown:
        raise ConfigError(f"generation.{unknown[0]}: no such option; {nearest(unknown[0], known)}")
    raise ConfigError(f"generation: no method has all of {', '.join(options)}; name one, as in generation.name=beam")
