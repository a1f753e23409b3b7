"""What every objective says: the loss of the inner and of the outer level."""

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
        inner: what adaptation goes down on, on support sets.
        outer: what the outer loop minimises, on query sets.
        draws: whether they draw random numbers: then each task has to be seeded by itself.
    """

    inner: Loss
    outer: Loss
    draws: bool = False


LIKELIHOOD = Objectives(inner=mean_token_loss, outer=mean_token_loss)
"""The mean negative log-likelihood of the counted tokens, in nats, at both levels."""
