"""Model-agnostic meta-learning, with exact or with first-order gradients."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from annotated_types import Ge, Gt
from torch import nn

from metadialog.algorithms.base import OuterStep, assign_gradients
from metadialog.engines.base import Engine, InnerLoop
from metadialog.episodes import Batch, Episode
from metadialog.models.loss import mean_token_loss


class MAML:
    """Finn et al. 2017 (arXiv:1703.03400), algorithm 1: learn an initialisation that adapts well.

    `theta_i' = theta - inner_lr * grad L_i(theta; support)`, `inner_steps` times; the outer loop minimises
    `reduce_i L_i(theta_i'; query)` over theta. With `first_order` the inner gradients count as constants (the
    paper's section 5.2), which is first-order MAML.

    Args:
        engine: computes the meta-gradient.
        name: how records and tables call it.
        inner_lr: the inner learning rate, alpha.
        inner_steps: inner steps in training and validation.
        first_order: leave out the second derivatives.
        reduction: how the tasks' query losses make the outer objective.
    """

    trains = True

    def __init__(
        self,
        engine: Engine,
        *,
        name: str,
        inner_lr: Annotated[float, Gt(0)],
        inner_steps: Annotated[int, Ge(1)],
        first_order: bool,
        reduction: Literal["mean", "sum"],
    ) -> None:
        self.engine = engine
        self.name = name
        self.inner_lr = inner_lr
        self.inner_steps = inner_steps
        self.first_order = first_order
        self.reduction: Literal["mean", "sum"] = reduction

    def outer_step(self, model: nn.Module, episodes: Sequence[Episode]) -> OuterStep:
        """Put the meta-gradient of the meta-batch into the parameters' `.grad`."""
        inner = InnerLoop(self.inner_lr, self.inner_steps, self.first_order)
        result = self.engine.meta_gradient(model, mean_token_loss, episodes, inner, self.reduction)
        assign_gradients(model, result.gradients)
        support_loss, query_loss = result.support_losses.mean().item(), result.query_losses.mean().item()
        return OuterStep(result.loss.item(), support_loss, query_loss, reduction=self.reduction)

    def adapt(self, model: nn.Module, support: Batch | None, steps: int) -> Iterator[nn.Module]:
        """Yield the model after 0, 1, ..., `steps` gradient steps on the support set."""
        if support is None:
            yield model
        else:
            yield from self.engine.adapt(model, mean_token_loss, support, InnerLoop(self.inner_lr, steps))
