"""The model that an algorithm trains: built, given its first weights, frozen in parts, and prepared."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from metadialog.algorithms.base import Algorithm
from metadialog.config import build
from metadialog.errors import ConfigError
from metadialog.models.parts import freeze


def prepared_model(
    node: Mapping[str, Any],
    vocab_size: int,
    algorithm: Algorithm,
    frozen: Sequence[str],
    fill: Callable[[Any], None] | None = None,
) -> nn.Module:
    """Make a model, give it its first weights, freeze parts of it, and let its algorithm prepare it.

    Args:
        node: config node of the model.
        vocab_size: of its tokenizer.
        algorithm: may extend the model, and makes what it learns beside it.
        frozen: the parts that stay as they are (see `freeze`).
        fill: changes the weights of the bare model; None leaves them as they were drawn.

    Raises:
        ConfigError: the model is larger than the memory, or has no such parts.
    """
    with making_a_model():
        model: nn.Module = build(node, vocab_size)
        if fill is not None:
            fill(model)
        freeze(model, frozen, "training.frozen")
        return algorithm.prepare(model)


@contextmanager
def making_a_model() -> Iterator[None]:
    """Say in one line that a model cannot be made.

    Raises:
        ConfigError: it is larger than the memory.
    """
    try:
        yield
    except (RuntimeError, MemoryError, OverflowError) as error:
        raise ConfigError(f"model: cannot be made: {' '.join(str(error).split())}; choose smaller sizes") from error
