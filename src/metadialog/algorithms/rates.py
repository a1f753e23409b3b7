"""Learned inner learning rates."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


class LearnedRates(nn.Module):
    """Inner learning rates that the outer loop learns, for each step or shared by all steps.

    Args:
        steps: for each inner step, the initial rates of each parameter.
    """

    def __init__(self, steps: Sequence[Mapping[str, Tensor]]) -> None:
        super().__init__()
        # Parameter names must not contain dots.
        self.steps = nn.ModuleList(
            nn.ParameterDict({name.replace(".", "/"): value for name, value in rates.items()}) for rates in steps
        )

    def values(self, scale: float = 1.0) -> tuple[dict[str, Tensor], ...]:
        """Return the rates of each step by parameter name, multiplied by `scale`; without a graph if it is not 1."""
        return tuple(
            {name: rate if scale == 1 else scale * rate.detach() for name, rate in self._of(step).items()}
            for step in range(len(self.steps))
        )

    def keep_gradients(self, gradients: Sequence[Mapping[str, Tensor]]) -> None:
        """Set the `.grad` of the rates."""
        for step, of_step in enumerate(gradients):
            for name, rate in self._of(step).items():
                rate.grad = of_step[name]

    def _of(self, step: int) -> dict[str, nn.Parameter]:
        rates = self.steps[step]
        assert isinstance(rates, nn.ParameterDict)  # noqa: S101 - for the type checker
        return {name.replace("/", "."): rate for name, rate in rates.items()}


def constant_rates(model: nn.Module, adapted: frozenset[str] | None, lr: float, *, whole: bool) -> dict[str, Tensor]:
    """Return one rate for every adapted parameter.

    Args:
        model: the model.
        adapted: names of the parameters that the inner loop changes; None for all.
        lr: the value.
        whole: one value for each parameter, rather than for each of its weights.
    """
    return {
        name: torch.full((), lr, dtype=parameter.dtype) if whole else torch.full_like(parameter, lr)
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and (adapted is None or name in adapted)
    }
