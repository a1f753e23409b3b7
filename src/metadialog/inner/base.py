"""The interface of inner update rules, which turn gradients of the support loss into changes of the parameters.

A rule is a pure function of tensors without in-place operations, so that the meta-gradient can be computed through it.
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
"""Tensors by parameter name."""
Rates = Mapping[str, float | Tensor]


@dataclass(frozen=True, slots=True)
class Memory:
    """The state of a rule between inner steps.

    Attributes:
        start: the parameters before the first step.
        steps: number of steps taken.
        averages: running averages of the rule, by name.
    """

    start: Tensors
    steps: int = 0
    averages: Mapping[str, Tensors] = field(default_factory=dict)


class InnerRule(Options, ABC):
    """Base class of inner rules; a step is `theta - rate * (direction + weight_decay * (theta - start))`.

    Args:
        adapted: parameters that the inner loop may change: parts of the model (embeddings, body, head), patterns of
            names such as `rnn.*`, or null for all.
        frozen: parameters among these that it does not change.
        clip_norm: maximum 2-norm of the gradient of all parameters together; None for no limit.
        weight_decay: strength of the pull towards the initial parameters.
        chunk: number of exchanges of the support set in one pass; the gradients of the passes are summed. None for all,
            or 2 for a pretrained model.
    """

    adapted: list[str] | None = FROM_YAML
    frozen: list[str] = FROM_YAML
    clip_norm: Annotated[float, Gt(0), Le(1e9)] | None = FROM_YAML
    weight_decay: Annotated[float, Ge(0), Le(1e3)] = FROM_YAML
    chunk: Annotated[int, Ge(1), Le(10**6)] | None = FROM_YAML

    @property
    def is_plain(self) -> bool:
        """Whether a step is just `theta - rate * gradient`."""
        return False

    @property
    def learned(self) -> tuple[Tensor, ...]:
        """The tensors of the rule that the outer loop learns."""
        return ()

    @abstractmethod
    def direction(self, gradients: Tensors, memory: Memory) -> tuple[Tensors, Mapping[str, Tensors]]:
        """Return the direction to subtract, and the new running averages."""

    def changes(
        self, parameters: Tensors, gradients: Tensors, rates: Rates, memory: Memory
    ) -> tuple[dict[str, Tensor], Memory]:
        """Return the change to subtract from each parameter with a gradient, and the memory for the next step.

        Args:
            parameters: before the step.
            gradients: gradients of the support loss.
            rates: learning rates, whose shapes broadcast to the parameters'.
            memory: memory of the previous steps.
        """
        direction, averages = self.direction(clipped(gradients, self.clip_norm), memory)
        changes = {}
        for name, towards in direction.items():
            back = self.weight_decay * (parameters[name] - memory.start[name]) if self.weight_decay else 0.0
            changes[name] = rates[name] * (towards + back)
        return changes, Memory(memory.start, memory.steps + 1, averages)


def clipped(gradients: Tensors, clip_norm: float | None) -> Tensors:
    """Return the gradients, scaled down if their joint 2-norm exceeds `clip_norm`; None for no limit."""
    if clip_norm is None or not gradients:
        return gradients
    # Not the norm of norms, whose derivative is NaN if a parameter's gradient is zero.
    squares = torch.stack([gradient.square().sum() for gradient in gradients.values()]).sum()
    large = squares > clip_norm**2
    # The root is computed only of large values, as its derivative at zero is NaN.
    scale = torch.where(large, clip_norm / torch.where(large, squares, 1.0).sqrt(), 1.0)
    return {name: scale * gradient for name, gradient in gradients.items()}
