"""The losses of the inner and the outer loop."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from metadialog.episodes import Batch
from metadialog.models.loss import mean_token_loss

Loss = Callable[[nn.Module, Batch], Tensor]
"""Maps (model, batch) to a scalar."""


@dataclass(frozen=True, slots=True)
class Objectives:
    """The losses of the two levels.

    Attributes:
        inner: loss of the inner loop, on support sets.
        outer: loss of the outer loop, on query sets.
        draws: whether they draw random numbers, so that each task must be seeded.
    """

    inner: Loss
    outer: Loss
    draws: bool = False


LIKELIHOOD = Objectives(inner=mean_token_loss, outer=mean_token_loss)
"""The mean negative log-likelihood of the counted tokens, in nats, at both levels."""
