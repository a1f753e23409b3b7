"""Model-agnostic meta-learning, with exact or first-order gradients."""

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from metadialog.algorithms.base import GradientAlgorithm, OuterStep, Passes, assign_gradients
from metadialog.engines.base import InnerLoop, MetaGradient, Reduction
from metadialog.episodes import Episode
from metadialog.options import FROM_YAML


class MAML(GradientAlgorithm):
    """Finn et al. 2017 (arXiv:1703.03400), algorithm 1: learn an initialisation that adapts well.

    `theta_i' = theta - inner_lr * grad L_i(theta; support)`, `inner_steps` times; the outer loop minimises
    `reduce_i L_i(theta_i'; query)` over theta. With `first_order` the inner gradients are treated as constants (the
    paper's section 5.2), which is first-order MAML.

    Args:
        first_order: leave out the second derivatives.
        reduction: how the query losses of the tasks are combined into the outer objective.
    """

    first_order: bool = FROM_YAML
    reduction: Reduction = FROM_YAML
    additive = True

    def check(self, model: nn.Module) -> None:
        """Check that the engine can differentiate the inner loop; see `Algorithm.check`."""
        self.tools.engine.check(model, self.tools.objectives.outer, self.inner_loop(model, self.inner_steps))

    def training_loop(self, model: nn.Module, step: int) -> InnerLoop:  # noqa: ARG002 - used by subclasses
        """Return the inner loop that an outer step differentiates through."""
        return replace(self.inner_loop(model, self.inner_steps), first_order=self.first_order)

    def outer_step(self, model: nn.Module, episodes: Sequence[Episode], step: int) -> OuterStep:
        """Put the meta-gradient of the meta-batch into the parameters' `.grad`."""
        inner, outer = self.training_loop(model, step), self.tools.objectives.outer
        result = self.tools.engine.meta_gradient(model, outer, episodes, inner, self.reduction)
        assign_gradients(model, result.gradients)
        self.keep_gradients(result)
        support_loss, query_loss = result.support_losses.mean().item(), result.query_losses.mean().item()
        return OuterStep(result.loss.item(), support_loss, query_loss, reduction=self.reduction)

    def passes(self, step: int) -> Passes:  # noqa: ARG002 - used by subclasses
        """Return the passes of an outer step."""
        return Passes(self.inner_steps, 0 if self.first_order else self.inner_steps, 1)

    def keep_gradients(self, result: MetaGradient) -> None:
        """Store the gradients of what is learned in addition to the model, if anything is."""
