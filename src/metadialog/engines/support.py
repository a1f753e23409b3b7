"""The gradient of the support loss, in passes over parts of the support set that fit into memory."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from metadialog.engines.base import InnerLoop, Objective
from metadialog.episodes import Batch


def support_gradients(
    model: nn.Module,
    parameters: Mapping[str, Tensor],
    objective: Objective,
    support: Batch,
    inner: InnerLoop,
    *,
    create_graph: bool,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the support loss, and its gradients for those parameters that it depends on.

    With `rule.chunk` the loss of each pass is weighted by its tokens, and without `create_graph` the activations of a
    pass are freed before the next.

    Args:
        model: the model.
        parameters: parameters of the model to differentiate with respect to.
        objective: the loss, if the inner loop has none of its own.
        support: the support set.
        inner: the inner loop.
        create_graph: whether the gradients will be differentiated.
    """
    loss_of = inner.support_objective or objective
    totals: dict[str, Tensor] = {}
    losses = []
    for part, weight in passes(support, inner.rule.chunk):
        loss = loss_of(model, part) * weight
        for name, gradient in _gradients(loss, parameters, create_graph=create_graph).items():
            totals[name] = totals[name] + gradient if name in totals else gradient
        losses.append(loss if create_graph else loss.detach())
    return torch.stack(losses).sum(), totals


def _gradients(loss: Tensor, parameters: Mapping[str, Tensor], *, create_graph: bool) -> dict[str, Tensor]:
    """Return the gradients of a loss for those parameters that it depends on."""
    if not parameters or not loss.requires_grad:
        return {}
    result = torch.autograd.grad(loss, list(parameters.values()), create_graph=create_graph, allow_unused=True)
    return {name: gradient for name, gradient in zip(parameters, result, strict=True) if gradient is not None}


def passes(support: Batch, chunk: int | None) -> Iterator[tuple[Batch, float]]:
    """Yield parts of a support set with their shares of the counted tokens."""
    size = len(support.inputs)
    if chunk is None or chunk >= size:
        yield support, 1.0
        return
    total = int(support.mask.sum())
    for start in range(0, size, chunk):
        rows = slice(start, start + chunk)
        mask = support.mask[rows]
        counted = int(mask.sum())
        if counted:
            yield (
                replace(
                    support,
                    inputs=support.inputs[rows],
                    targets=support.targets[rows],
                    mask=mask,
                    words=support.words[rows],
                    buckets=(),
                ),
                counted / total,
            )
