"""Dropout masks that are drawn in advance equal those that the model would draw."""

from collections.abc import Callable

import pytest
import torch
from tests.engines.conftest import in_buckets
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from metadialog.engines.stacked import dropout
from metadialog.episodes import Episode
from metadialog.models.loss import mean_token_loss
from metadialog.models.rnn import DialogModel
from metadialog.randomness import TaskSeeds

MakeModel = Callable[..., DialogModel]


class Draws(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the shape and strides of every tensor that is filled with random numbers."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[tuple[tuple[int, ...], tuple[int, ...]]] = []

    def __torch_dispatch__(
        self, func: Callable[..., object], types: object, args: tuple[Tensor, ...] = (), kwargs: object = None
    ) -> object:
        if "dropout" in str(func) or "bernoulli" in str(func):
            self.seen.append((tuple(args[0].shape), args[0].stride()))
        return func(*args, **(kwargs or {}))  # type: ignore[arg-type]


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("layers", [1, 3])
def test_dropout_is_drawn_into_the_models_own_layout(
    make_model: MakeModel, episodes: list[Episode], cell: str, layers: int
) -> None:
    model = make_model(cell, layers=layers, dropout=0.4).train()  # on a GPU random numbers depend on the memory layout
    batch, state = in_buckets(episodes[0].query), torch.get_rng_state()
    with torch.no_grad(), Draws() as of_model:
        mean_token_loss(model, batch)
    torch.set_rng_state(state)
    with Draws() as of_masks:
        dropout.draw(model, [[batch]], TaskSeeds(), [0])
    assert len(of_model.seen) == len(batch.buckets) * (layers + 1)
    assert of_masks.seen == of_model.seen
