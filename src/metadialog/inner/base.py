"""What every inner update rule does: turn the gradients of the support loss into changes of the parameters.

Each is a function of tensors alone, written without in-place operations, so that the meta-gradient can be taken
through it.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from metadialog.options import FROM_YAML, Options

Tensors = Mapping[str, Tensor]
"""By name of parameter."""
Rates = Mapping[str, float | Tensor]


@dataclass(frozen=True, slots=True)
class Memory:
    """What a rule remembers between inner steps.

    Attributes:
        start: the parameters before the first step.
        steps: how many have been taken.
        averages: the rule's own running averages, by what they are of.
    """

    start: Tensors
    steps: int = 0
    averages: Mapping[str, Tensors] = field(default_factory=dict)


class InnerRule(Options, ABC):
    """One step is `theta - rate * (direction + weight_decay * (theta - start))`.

    Args:
        adapted: which parameters the inner loop may change: parts of the model (embeddings, body, head), patterns of
            names such as `rnn.*`, or null for all.
        frozen: which of these it does not change.
        clip_norm: the gradient of all parameters together is scaled down to this norm (2-norm); None for no limit.
        weight_decay: how strongly the parameters are drawn back to where the inner loop began.
        chunk: exchanges of the support set in one pass; the gradients of the passes are added up. None for all, or
            for 2 if the model is a pretrained one.
    """

    adapted: list[str] | None = FROM_YAML
    frozen: list[str] = FROM_YAML
    clip_norm: Annotated[float, Gt(0), Le(1e9)] | None = FROM_YAML
    weight_decay: Annotated[float, Ge(0), Le(1e3)] = FROM_YAML
    chunk: Annotated[int, Ge(1), Le(10**6)] | None = FROM_YAML

    @property
    def is_plain(self) -> bool:
        """Whether a step is `theta - rate * gradient` and no more."""
        return False

    @property
    def learned(self) -> tuple[Tensor, ...]:
        """What of the rule itself the outer loop learns; the meta-gradient is taken by it as well."""
        return ()

    @abstractmethod
    def direction(self, gradients: Tensors, memory: Memory) -> tuple[Tensors, Mapping[str, Tensors]]:
        """Return what to go against, and the running averages after it."""

    def changes(
        self, parameters: Tensors, gradients: Tensors, rates: Rates, memory: Memory
    ) -> tuple[dict[str, Tensor], Memory]:
        """Return what to subtract from each parameter that has a gradient, and the memory for the next step.

        Args:
            parameters: before the step.
            gradients: of the support loss.
            rates: the learning rates, each of a shape that broadcasts to the parameter's.
            memory: of the steps before.
        """
        direction, averages = self.direction(clipped(gradients, self.clip_norm), memory)
        changes = {}
        for name, towards in direction.items():
            back = self.weight_decay * (parameters[name] - memory.start[name]) if self.weight_decay else 0.0
            changes[name] = rates[name] * (towards + back)
        return changes, Memory(memory.start, memory.steps + 1, averages)


def clipped(gradients: Tensors, clip_norm: float | None) -> Tensors:
    """Return the gradients, scaled down together to a 2-norm where theirs is larger; None for no limit."""
    if clip_norm is None or not gradients:
        return gradients
    # Not the norm of norms, whose derivative is not a number where a parameter's gradient is zero.
    squares = torch.stack([gradient.square().sum() for gradient in gradients.values()]).sum()
    large = squares > clip_norm**2
    # The root of what is not large is not taken: at zero its derivative is no number.
    scale = torch.where(large, clip_norm / torch.where(large, squares, 1.0).sqrt(), 1.0)
    return {name: scale * gradient for name, gradient in gradients.items()}
