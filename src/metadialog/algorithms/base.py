"""What every algorithm does: say what is learned in the outer loop, and how a task is adapted to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor, nn

from metadialog.episodes import Batch, Episode


@dataclass(frozen=True, slots=True)
class OuterStep:
    """The losses of one meta-batch, in nats a token.

    Attributes:
        loss: the outer objective, whose gradient is in the parameters' `.grad`.
        support_loss: mean over tasks of the support loss before adaptation.
        query_loss: mean over tasks of the query loss that the algorithm trains on.
        size: what these figures and the gradient are means over, such as tokens; None for the number of tasks. Two
            parts of a meta-batch, computed apart, are put together in proportion to it.
        reduction: whether `loss` and its gradient are such means, or sums.
    """

    loss: float
    support_loss: float
    query_loss: float
    size: float | None = None
    reduction: Literal["mean", "sum"] = "mean"


class Algorithm(Protocol):
    """What `conf/algorithm/*.yaml` names.

    Attributes:
        name: how records, tables and charts call it.
        trains: whether there is an outer loop at all.
        inner_steps: steps of adaptation to a task, in validation and wherever no other number is asked for.
    """

    name: str
    trains: bool
    inner_steps: int

    def outer_step(self, model: nn.Module, episodes: Sequence[Episode]) -> OuterStep:
        """Put the gradient of the outer objective over a meta-batch into the parameters' `.grad`."""
        ...

    def adapt(self, model: nn.Module, support: Batch | None, steps: int) -> Iterator[nn.Module]:
        """Yield the model after 0, 1, ..., `steps` inner steps on a support set.

        Step 0 is the model as it was learned. With no support set, or for an algorithm that does not adapt,
        step 0 is all there is. No graph is kept; each step reuses the one copy.
        """
        ...


def assign_gradients(model: nn.Module, gradients: Sequence[Tensor]) -> None:
    """Make `gradients` the `.grad` of the model's trainable parameters, in their order."""
    trainable = (parameter for parameter in model.parameters() if parameter.requires_grad)
    for parameter, gradient in zip(trainable, gradients, strict=True):
        parameter.grad = gradient
