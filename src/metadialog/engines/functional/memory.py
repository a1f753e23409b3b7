"""How many tasks to run at once, and how many states to keep of each, so that memory does not grow with inner steps."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from metadialog.engines.base import InnerLoop
from metadialog.engines.functional.derivatives import Derivatives
from metadialog.engines.functional.levels import Level
from metadialog.engines.functional.sweep import Sweep

MIB = 2**20
# What is at work beside the kept states: parameters, gradients, cotangents, their tangents.
_AT_WORK = 6
# A dual pass keeps activations and their tangents, and works on the derivatives of both.
_DUAL = 2.5

_measured: dict[object, int] = {}


def plan(
    model: nn.Module,
    support: Level,
    query: Level,
    inner: InnerLoop,
    derivatives: Derivatives,
    tasks: int,
    memory: float,
    kind: object,
) -> tuple[int, int]:
    """Return how many tasks to run at once, and how many states between the first and the last step to keep of each.

    Args:
        model: the initialisation.
        support: the inner loss.
        query: the outer loss.
        inner: the inner loop.
        derivatives: of losses.
        tasks: in the meta-batch.
        memory: the budget, MiB.
        kind: of model and losses, for which the activations of a token are measured once.
    """
    weights = sum(p.nbytes for name, p in model.named_parameters() if p.requires_grad and inner.adapts(name))
    averages = {"Momentum": 1, "Adam": 2}.get(type(inner.rule).__name__, 0)
    sizes = [_size(level.stacked) for level in (support, query)]
    if support.stacked is None or query.stacked is None:
        return tasks, inner.steps  # there is nothing to run at once
    if kind not in _measured:
        _measured[kind] = _saved_bytes(model, query, inner, derivatives) // max(1, sizes[1])
    tape = int(_DUAL * max(sizes) * _measured[kind])
    of_state = weights * (1 + averages)
    between = max(0, inner.steps - 1)
    one_step = tasks * (tape + _AT_WORK * weights)
    budget = min(memory * MIB, one_step)
    at_once = int(budget / (tape + _AT_WORK * weights + between * of_state))
    if at_once >= 1:
        return min(at_once, tasks), between
    left = budget - tape - _AT_WORK * weights
    return 1, min(between, max(0, int(left / max(1, of_state))))


def _size(stacked: object) -> int:
    """Return the largest number of numbers that a task's data have in one tensor."""
    leaves: Sequence[object] = tree_leaves(stacked)
    return max((leaf[0].numel() for leaf in leaves if isinstance(leaf, Tensor)), default=0)


def _saved_bytes(model: nn.Module, level: Level, inner: InnerLoop, derivatives: Derivatives) -> int:
    """Measure what a pass over one task keeps for its way back."""
    seen: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        seen[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    one = slice(0, 1)
    sweep = Sweep(model, level.of(one), level.of(one), inner, derivatives, 1, at_once=True, slots=0)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), torch.enable_grad():
        state = sweep.begin()
        leaves = {name: value.detach().requires_grad_() for name, value in state.parameters.items()}
        list(sweep.losses_of("query")(leaves, sweep.shared))
    return sum(seen.values())
