"""Gradient descent, with and without momentum."""

from collections.abc import Mapping
from typing import Annotated

from annotated_types import Ge, Lt

from metadialog.inner.base import InnerRule, Memory, Tensors
from metadialog.options import FROM_YAML


class GradientDescent(InnerRule):
    """Gradient descent: the inner loop of Finn et al. 2017 (arXiv:1703.03400), equation 1."""

    @property
    def is_plain(self) -> bool:
        """Whether a step is just `theta - rate * gradient`."""
        return self.clip_norm is None and self.weight_decay == 0 and self.chunk is None

    def direction(self, gradients: Tensors, memory: Memory) -> tuple[Tensors, Mapping[str, Tensors]]:
        """Return the gradients."""
        return gradients, memory.averages


class Momentum(InnerRule):
    """Gradient descent with momentum (Polyak 1964): `velocity = momentum * velocity + gradient`.

    Args:
        momentum: share of the velocity that is kept.
        nesterov: use Nesterov momentum (Nesterov 1983): `gradient + momentum * velocity`.
    """

    momentum: Annotated[float, Ge(0), Lt(1)] = FROM_YAML
    nesterov: bool = FROM_YAML

    def direction(self, gradients: Tensors, memory: Memory) -> tuple[Tensors, Mapping[str, Tensors]]:
        """Return the velocity, which is initially the first gradient."""
        before = memory.averages.get("velocity", {})
        velocity = {
            name: gradient + self.momentum * before[name] if name in before else gradient
            for name, gradient in gradients.items()
        }
        if not self.nesterov:
            return velocity, {"velocity": velocity}
        ahead = {name: gradient + self.momentum * velocity[name] for name, gradient in gradients.items()}
        return ahead, {"velocity": velocity}


PLAIN = GradientDescent(adapted=None, frozen=[], clip_norm=None, weight_decay=0.0, chunk=None)
"""Plain gradient descent on all parameters."""
