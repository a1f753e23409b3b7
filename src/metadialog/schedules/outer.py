"""Schedules of the outer learning rate, each with an optional linear warm-up."""

import math
from collections.abc import Callable
from typing import Annotated

from annotated_types import Ge, Interval, Le
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from metadialog.options import FROM_YAML, with_defaults

WarmUp = Annotated[int, Ge(0), Le(10**9)]
Fraction = Annotated[float, Interval(ge=0, le=1)]


@with_defaults
def constant(optimizer: Optimizer, steps: int, *, warmup_steps: WarmUp = FROM_YAML) -> LRScheduler:
    """Keep the learning rate constant."""
    return _schedule(optimizer, steps, warmup_steps, lambda _: 1.0)


@with_defaults
def cosine(
    optimizer: Optimizer, steps: int, *, warmup_steps: WarmUp = FROM_YAML, final_fraction: Fraction = FROM_YAML
) -> LRScheduler:
    """Decay along half a cosine to `final_fraction` of the learning rate at the last outer step.

    Source: Loshchilov and Hutter 2017 (arXiv:1608.03983), equation 5, without restarts.
    """

    def scale(done: float) -> float:
        return final_fraction + (1 - final_fraction) * (1 + math.cos(math.pi * done)) / 2

    return _schedule(optimizer, steps, warmup_steps, scale)


@with_defaults
def linear(
    optimizer: Optimizer, steps: int, *, warmup_steps: WarmUp = FROM_YAML, final_fraction: Fraction = FROM_YAML
) -> LRScheduler:
    """Decay linearly to `final_fraction` of the learning rate at the last outer step."""
    return _schedule(optimizer, steps, warmup_steps, lambda done: 1 - (1 - final_fraction) * done)


def _schedule(optimizer: Optimizer, steps: int, warmup_steps: int, scale: Callable[[float], float]) -> LRScheduler:
    """Scale the learning rate by `scale` of the fraction of steps done after the warm-up, from 0 to 1."""
    after_warmup = max(1, steps - 1 - warmup_steps)  # the last step has the final rate

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)  # never zero, which would waste a step
        return scale(min(1.0, (step - warmup_steps) / after_warmup))

    return LambdaLR(optimizer, factor)
