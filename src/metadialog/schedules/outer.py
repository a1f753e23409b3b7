"""Schedules of the outer learning rate, each with an optional warm-up; PyTorch's, with their options checked."""

from typing import Annotated

from annotated_types import Ge, Interval
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR

WarmUp = Annotated[int, Ge(0)]
Fraction = Annotated[float, Interval(ge=0, le=1)]


def constant(optimizer: Optimizer, steps: int, *, warmup_steps: WarmUp) -> LRScheduler:  # noqa: ARG001
    """Keep the learning rate as it is."""
    return _warmed_up(optimizer, ConstantLR(optimizer, factor=1.0, total_iters=0), warmup_steps)


def cosine(
    optimizer: Optimizer, steps: int, *, warmup_steps: WarmUp, final_fraction: Fraction
) -> LRScheduler:
    """Fall along half a cosine to `final_fraction` of the learning rate at the last outer step.

    Source: Loshchilov and Hutter 2017 (arXiv:1608.03983), equation 5, without restarts.
    """
    peak = float(optimizer.param_groups[0]["lr"])
    after_warmup = max(1, steps - warmup_steps)
    schedule = CosineAnnealingLR(optimizer, T_max=after_warmup, eta_min=final_fraction * peak)
    return _warmed_up(optimizer, schedule, warmup_steps)


def linear(
    optimizer: Optimizer, steps: int, *, warmup_steps: WarmUp, final_fraction: Fraction
) -> LRScheduler:
    """Fall in a straight line to `final_fraction` of the learning rate at the last outer step."""
    after_warmup = max(1, steps - warmup_steps)
    schedule = LinearLR(optimizer, start_factor=1.0, end_factor=final_fraction, total_iters=after_warmup)
    return _warmed_up(optimizer, schedule, warmup_steps)


def _warmed_up(optimizer: Optimizer, schedule: LRScheduler, warmup_steps: int) -> LRScheduler:
    if warmup_steps == 0:
        return schedule
    # The first step must not have a rate of zero: it would be an outer step that changes nothing.
    start = 1 / (warmup_steps + 1)
    warm_up = LinearLR(optimizer, start_factor=start, end_factor=1.0, total_iters=warmup_steps)
    return SequentialLR(optimizer, [warm_up, schedule], milestones=[warmup_steps])
