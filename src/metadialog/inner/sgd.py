"""Gradient descent, with and without momentum."""

from collections.abc import Mapping
from typing import Annotated

from annotated_types import Ge, Gt, Lt

from metadialog.inner.base import InnerRule, Memory, Tensors


class GradientDescent(InnerRule):
    """Gradient descent: the inner loop of Finn et al. 2017 (arXiv:1703.03400), equation 1.

    See `InnerRule` for the options that all rules have.
    """

    @property
    def is_plain(self) -> bool:
        """Whether a step is `theta - rate * gradient` and no more."""
        return self.clip_norm is None and self.weight_decay == 0 and self.chunk is None

    def direction(self, gradients: Tensors, memory: Memory) -> tuple[Tensors, Mapping[str, Tensors]]:
        """Return the gradients."""
        return gradients, memory.averages


class Momentum(InnerRule):
    """Gradient descent with momentum (Polyak 1964): `velocity = momentum * velocity + gradient`.

    Args:
        momentum: how much of the velocity is kept.
        nesterov: look ahead (Nesterov 1983): go along `gradient + momentum * velocity`.

    See `InnerRule` for the options that all rules have.
    """

    def __init__(
        self,
        *,
        momentum: Annotated[float, Ge(0), Lt(1)],
        nesterov: bool,
        adapted: list[str] | None,
        frozen: list[str],
        clip_norm: Annotated[float, Gt(0)] | None,
        weight_decay: Annotated[float, Ge(0)],
        chunk: Annotated[int, Ge(1)] | None,
    ) -> None:
        super().__init__(adapted=adapted, frozen=frozen, clip_norm=clip_norm, weight_decay=weight_decay, chunk=chunk)
        self.momentum = momentum
        self.nesterov = nesterov

    def direction(self, gradients: Tensors, memory: Memory) -> tuple[Tensors, Mapping[str, Tensors]]:
        """Return the velocity, which starts as the first gradient."""
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
"""Gradient descent on all parameters, and no more."""
