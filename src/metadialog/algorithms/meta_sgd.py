"""MAML that learns its inner learning rates, one for each weight."""

from dataclasses import field, replace

from torch import nn

from metadialog.algorithms.maml import MAML
from metadialog.algorithms.rates import LearnedRates, constant_rates
from metadialog.engines.base import InnerLoop, MetaGradient


class MetaSGD(MAML):
    """Li et al. 2017 (arXiv:1707.09835), algorithm 1: also learn the direction and length of the inner steps.

    `theta_i' = theta - alpha * grad L_i(theta; support)`, where `alpha` has the shape of theta and is learned with it;
    a rate may become negative. The options are those of `MAML`; `inner_lr` is the initial value of every rate.
    """

    rates: LearnedRates = field(init=False)

    def prepare(self, model: nn.Module) -> nn.Module:
        """Create a rate for each adapted weight."""
        adapted = self.adapted_parameters(model)
        self.learned = self.rates = LearnedRates([constant_rates(model, adapted, self.inner_lr, whole=False)])
        return model

    def inner_loop(self, model: nn.Module, steps: int, scale: float = 1.0) -> InnerLoop:
        """Return the inner loop with the learned rates."""
        return replace(super().inner_loop(model, steps), rates=self.rates.values(scale))

    def keep_gradients(self, result: MetaGradient) -> None:
        """Store the gradients of the rates."""
        self.rates.keep_gradients(result.rate_gradients)
