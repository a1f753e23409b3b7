"""The named parts of a model, and their parameters."""

import copy
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

from torch import nn

from metadialog.errors import ConfigError


def parts_of(model: nn.Module) -> Mapping[str, tuple[str, ...]]:
    """Return the named parts of a model (`embeddings`, `body`, `head`) as patterns of parameter names."""
    parts: Mapping[str, tuple[str, ...]] = getattr(model, "parts", {})
    return parts


def select(model: nn.Module, wanted: Iterable[str], option: str) -> frozenset[str]:
    """Return the names of the selected parameters, as in `model.named_parameters()`.

    A parameter that two parts share, such as a tied embedding, belongs to both.

    Args:
        model: the model.
        wanted: names of parts, or patterns of parameter names, such as `rnn.weight_*`.
        option: name of the option that sets `wanted`, for messages.

    Raises:
        ConfigError: one of them is neither a part nor matches a parameter.
    """
    parts = parts_of(model)
    results: set[str] = set()
    for name in wanted:
        matched = set(_matches(model, parts.get(name, (name,))))
        if not matched:
            names = ", ".join(parameter for parameter, _ in model.named_parameters())
            raise ConfigError(
                f"{option}: {name!r} is not a part of the model ({', '.join(parts)}) and matches none of its "
                "parameters: "
                f"{names}"
            )
        results |= matched
    return frozenset(results)


def freeze(model: nn.Module, wanted: Iterable[str], option: str) -> None:
    """Freeze parameters, so that neither loop changes them.

    Args:
        model: the model.
        wanted: as in `select`.
        option: as in `select`.

    Raises:
        ConfigError: one of them is neither a part nor matches a parameter, or nothing is left to train.
    """
    wanted = list(wanted)
    for name in select(model, wanted, option):
        model.get_parameter(name).requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ConfigError(f"{option}={wanted}: leaves nothing to train; leave out some part of the model")


def copy_apart(model: nn.Module) -> nn.Module:
    """Return a copy of a model that shares only frozen parameters with it."""
    constants = {id(parameter): parameter for parameter in model.parameters() if not parameter.requires_grad}
    return copy.deepcopy(model, dict(constants))


def _matches(model: nn.Module, patterns: Iterable[str]) -> Iterator[str]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            yield names[id(parameter)]
