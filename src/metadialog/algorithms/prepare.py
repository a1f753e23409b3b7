"""Build, initialise, partly freeze and prepare the model that an algorithm trains."""

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
    """Build a model, initialise it, freeze parts of it, and let its algorithm prepare it.

    Args:
        node: config node of the model.
        vocab_size: vocabulary size of the tokenizer.
        algorithm: may extend the model, and creates what it learns in addition to it.
        frozen: parts that are not trained (see `freeze`).
        fill: sets the weights of the new model; None keeps the random initialisation.

    Raises:
        ConfigError: the model does not fit into memory, or has no such parts.
    """
    with making_a_model():
        model: nn.Module = build(node, vocab_size)
        if fill is not None:
            fill(model)
        freeze(model, frozen, "training.frozen")
        return algorithm.prepare(model)


@contextmanager
def making_a_model() -> Iterator[None]:
    """Turn errors of building a model into a ConfigError.

    Raises:
        ConfigError: the model does not fit into memory.
    """
    try:
        yield
    except (RuntimeError, MemoryError, OverflowError) as error:
        raise ConfigError(f"model: cannot be built: {' '.join(str(error).split())}; choose smaller sizes") from error
