"""Adaptation without a meta-gradient: gradient descent on a copy of the model, as every engine does it."""

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from metadialog.engines.base import InnerLoop, Objective
from metadialog.engines.support import support_gradients
from metadialog.episodes import Batch
from metadialog.inner.base import Memory
from metadialog.models.parts import copy_apart


def descend(
    model: nn.Module, objective: Objective, support: Batch | Sequence[Batch], inner: InnerLoop
) -> Iterator[nn.Module]:
    """Yield a copy of the model after 0, 1, ..., `inner.steps` inner steps: `Engine.adapt` of every engine.

    No graph is kept, so memory does not grow with the number of steps.

    Args:
        model: the model to start from.
        objective: the loss, if the inner loop has none of its own.
        support: the support set of all steps, or one for each step.
        inner: the inner loop.
    """
    of_step = [support] * inner.steps if isinstance(support, Batch) else support
    adapted = copy_apart(model)
    parameters = {name: p for name, p in adapted.named_parameters() if p.requires_grad and inner.adapts(name)}
    # The initial parameters are needed only for a rule that pulls towards them.
    start = {name: p.detach().clone() for name, p in parameters.items()} if inner.rule.weight_decay else {}
    memory = Memory(start)
    yield adapted
    for step in range(inner.steps):
        # cuDNN is off for all algorithms of a comparison, as the meta-gradient cannot use it.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            _, gradients = support_gradients(adapted, parameters, objective, of_step[step], inner, create_graph=False)
        with torch.no_grad():
            rates = {name: inner.rate(name, step) for name in gradients}
            changes, memory = inner.rule.changes(parameters, gradients, rates, memory)
            for name, change in changes.items():
                parameters[name].sub_(change)
        yield adapted


class BaseEngine:
    """What engines have in common: each accepts every inner loop unless it says otherwise, and adapts step by step."""

    def check(self, model: nn.Module, objective: Objective, inner: InnerLoop) -> None:
        """Accept every inner loop; see `Engine.check`."""

    def adapt(self, model: nn.Module, objective: Objective, support: Batch, inner: InnerLoop) -> Iterator[nn.Module]:
        """Yield the model after each inner step; see `Engine.adapt`."""
        return descend(model, objective, support, inner)
