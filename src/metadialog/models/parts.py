"""The parts of a model, and which parameters are in them."""

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
    results: set[str] = set()
    for name in wanted:
        matched = set(_matches(model, parts.get(name, (name,))))
        if not matched:
            names = ", ".join(parameter for parameter, _ in model.named_parameters())
            raise ConfigError(
                f"{option}: {name!r} is no part of the model ({', '.join(parts)}) and matches none of its parameters: "
                f"{names}"
            )
        results |= matched
    return frozenset(results)


def freeze(model: nn.Module, wanted: Iterable[str], option: str) -> None:
    """Make parameters constants, which neither loop changes.

    Args:
        model: the model.
        wanted: as in `select`.
        option: as in `select`.

    Raises:
        ConfigError: one of them is no part, and matches no parameter; or nothing is left to be trained.
    """
    wanted = list(wanted)
    for name in select(model, wanted, option):
        model.get_parameter(name).requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ConfigError(f"{option}={wanted}: leaves nothing to train; leave some part of the model out of it")


def copy_apart(model: nn.Module) -> nn.Module:
    """Return a copy of a model that shares the parameters that are constants with it, and nothing else."""
    constants = {id(parameter): parameter for parameter in model.parameters() if not parameter.requires_grad}
    return copy.deepcopy(model, dict(constants))


def _matches(model: nn.Module, patterns: Iterable[str]) -> Iterator[str]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            yield names[id(parameter)]
