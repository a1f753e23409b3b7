"""The parts of a model, and which parameters are in them."""

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

from torch import nn

from metadialog.errors import ConfigError


def parts_of(model: nn.Module) -> Mapping[str, tuple[str, ...]]:
    """Return the named parts of a model (`embeddings`, `body`, `head`) as patterns of parameter names."""
    parts: Mapping[str, tuple[str, ...]] = getattr(model, "parts", {})
    return parts


def select(model: nn.Module, wanted: Iterable[str], option: str) -> frozenset[str]:
    """Return the names of the parameters that are wanted, as `model.named_parameters()` names them.

    A parameter that two parts share, such as a tied embedding, is in both.

    Args:
        model: the model.
        wanted: names of parts, or patterns of parameter names, such as `rnn.weight_*`.
        option: what the user calls the option that these stand in.

    Raises:
        ConfigError: one of them is no part, and matches no parameter.
    """
    parts = parts_of(model)
    found: set[str] = set()
    for name in wanted:
        matched = set(_matches(model, parts.get(name, (name,))))
        if not matched:
            names = ", ".join(parameter for parameter, _ in model.named_parameters())
            raise ConfigError(
                f"{option}: {name!r} is no part of the model ({', '.join(parts)}) and matches none of its parameters: "
                f"{names}"
            )
        found |= matched
    return frozenset(found)


def _matches(model: nn.Module, patterns: Iterable[str]) -> Iterator[str]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            yield names[id(parameter)]
