"""Adaptation where values alone are wanted: plain gradient descent on a copy of the model."""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from metadialog.engines.base import InnerLoop, Objective
from metadialog.episodes import Batch


def descend(model: nn.Module, objective: Objective, support: Batch, inner: InnerLoop) -> Iterator[nn.Module]:
    """Yield a copy of the model after 0, 1, ..., `inner.steps` inner steps: `Engine.adapt` of every engine.

    No graph is kept, so memory does not grow with the number of steps.
    """
    adapted = copy.deepcopy(model)
    parameters = {name: p for name, p in adapted.named_parameters() if p.requires_grad and inner.adapts(name)}
    yield adapted
    for _ in range(inner.steps):
        for name, gradient in _gradients(adapted, parameters, objective, support).items():
            with torch.no_grad():
                parameters[name].sub_(inner.rate(name) * gradient)
        yield adapted


def _gradients(
    model: nn.Module, parameters: dict[str, nn.Parameter], objective: Objective, support: Batch
) -> dict[str, Tensor]:
    """Return the gradients of those parameters that the loss depends on."""
    # cuDNN is off for all algorithms of a comparison, as the meta-gradient has to do without it.
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        loss = objective(model, support)
        found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    return {name: gradient for name, gradient in zip(parameters, found, strict=True) if gradient is not None}
