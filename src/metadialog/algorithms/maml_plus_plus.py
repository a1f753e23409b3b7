"""MAML with changes that make training more stable."""

from dataclasses import field, replace
from typing import Annotated

from annotated_types import Ge, Le
from torch import nn

from metadialog.algorithms.base import Passes
from metadialog.algorithms.maml import MAML
from metadialog.algorithms.rates import LearnedRates, constant_rates
from metadialog.engines.base import InnerLoop, MetaGradient
from metadialog.options import FROM_YAML


class MAMLPlusPlus(MAML):
    """Antoniou et al. 2019 (arXiv:1810.09502), "How to train your MAML".

    - Multi-step loss (section 4, "Gradient Instability"): the query loss after every inner step counts, at first with
      equal weights; over `multi_step_until` outer steps the weight moves to the last one.
    - Derivative-order annealing: first-order gradients for `first_order_until` outer steps, exact ones from then on.
    - Learned rates for each parameter and each inner step (the paper's LSLR, one for a layer and step); later steps use
      the rates of the last.
    - The cosine schedule of the outer learning rate is available as `schedule=cosine`.

    The paper's changes to batch normalisation do not apply to these models.

    Args:
        inner_lr: initial value of every rate.
        multi_step_until: number of outer steps after which only the last query loss counts; 0 for from the start.
        first_order_until: number of outer steps with first-order gradients.
        learned_rates: whether to learn the inner rates; otherwise they stay at `inner_lr`.
    """

    first_order = False  # replaced by the option `first_order_until`
    multi_step_until: Annotated[int, Ge(0), Le(10**9)] = FROM_YAML
    first_order_until: Annotated[int, Ge(0), Le(10**9)] = FROM_YAML
    learned_rates: bool = FROM_YAML
    rates: LearnedRates | None = field(default=None, init=False)

    def prepare(self, model: nn.Module) -> nn.Module:
        """Create a rate for each inner step and each adapted parameter."""
        if self.learned_rates:
            adapted = self.adapted_parameters(model)
            of_steps = [constant_rates(model, adapted, self.inner_lr, whole=True) for _ in range(self.inner_steps)]
            self.learned = self.rates = LearnedRates(of_steps)
        return model

    def inner_loop(self, model: nn.Module, steps: int, scale: float = 1.0) -> InnerLoop:
        """Return the inner loop with the learned rates."""
        inner = super().inner_loop(model, steps, scale)
        return inner if self.rates is None else replace(inner, rates=self.rates.values(scale))

    def training_loop(self, model: nn.Module, step: int) -> InnerLoop:
        """Return the inner loop as annealed after this number of outer steps."""
        inner = replace(self.inner_loop(model, self.inner_steps), first_order=step < self.first_order_until)
        if step >= self.multi_step_until:
            return inner
        return replace(inner, query_weights=self.query_weights(step))

    def passes(self, step: int) -> Passes:
        """Return the passes of an outer step."""
        products = 0 if step < self.first_order_until else self.inner_steps
        return Passes(self.inner_steps, products, self.inner_steps if step < self.multi_step_until else 1)

    def query_weights(self, step: int) -> tuple[float, ...]:
        """Return the weights of the query losses after 0, 1, ... inner steps, at an outer step; they sum to 1."""
        early = (1 - step / self.multi_step_until) / self.inner_steps
        between = self.inner_steps - 1
        return (0.0, *[early] * between, 1 - between * early)

    def keep_gradients(self, result: MetaGradient) -> None:
        """Store the gradients of the rates."""
        if self.rates is not None:
            self.rates.keep_gradients(result.rate_gradients)
