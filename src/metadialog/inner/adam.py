"""Adam as an inner update rule."""

from collections.abc import Mapping
from typing import Annotated

from annotated_types import Ge, Gt, Le, Len, Lt

from metadialog.inner.base import InnerRule, Memory, Tensors
from metadialog.options import FROM_YAML

Decay = Annotated[float, Ge(0), Lt(1)]


class Adam(InnerRule):
    """Adam (Kingma and Ba 2015, arXiv:1412.6980, algorithm 1), differentiable.

    `eps` is squared inside the root: `mean / sqrt(variance + eps^2)`. Outside of it, the derivative would be NaN for
    zero gradients, such as those of embedding rows that a task does not use.

    Args:
        betas: decay rates of the running means of the gradient and of its square.
        eps: term that keeps the step finite.
    """

    betas: Annotated[list[Decay], Len(2, 2)] = FROM_YAML
    eps: Annotated[float, Gt(0), Le(1)] = FROM_YAML

    def direction(self, gradients: Tensors, memory: Memory) -> tuple[Tensors, Mapping[str, Tensors]]:
        """Return the mean divided by the root of the variance, both bias-corrected."""
        first, second = self.betas
        means, variances = memory.averages.get("mean", {}), memory.averages.get("variance", {})
        mean = {name: first * means.get(name, 0.0) + (1 - first) * g for name, g in gradients.items()}
        variance = {name: second * variances.get(name, 0.0) + (1 - second) * g * g for name, g in gradients.items()}
        taken = memory.steps + 1
        unbiased_1, unbiased_2 = 1 - first**taken, 1 - second**taken
        direction = {
            name: (mean[name] / unbiased_1) / (variance[name] / unbiased_2 + self.eps**2).sqrt() for name in gradients
        }
        return direction, {"mean": mean, "variance": variance}
