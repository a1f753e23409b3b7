"""The number of tasks to run at once and of states to keep, so that memory does not grow with inner steps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from metadialog.engines.functional.dropout import dropping_nothing
from metadialog.engines.functional.sweep import Problem, Sweep

MIB = 2**20
# Working memory in addition to the kept states: parameters, gradients, cotangents and their tangents; before the first
# step all tasks have the same parameters.
_AT_WORK, _AT_WORK_FIRST = 6, 6
# A dual pass keeps activations and their tangents, and computes the derivatives of both; the graph of a gradient keeps
# the activations of two passes, and of a third when it is differentiated.
_DUAL, _GRAPH = 2.5, 4.0

_measured: dict[object, int] = {}


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a sweep.

    Attributes:
        tasks: number of tasks at once.
        slots: number of states kept between the first and the last step.
        short_of_memory: whether to keep no graph of a gradient; Hessian-vector products are then computed from the
            start, forward over reverse.
    """

    tasks: int
    slots: int
    short_of_memory: bool = False


def plan(problem: Problem, tasks: int, memory: float, kind: object) -> Plan:
    """Plan a sweep over as many tasks as fit into memory, such that many inner steps take no more memory than one.

    Args:
        problem: the two levels of the tasks.
        tasks: number of tasks in the meta-batch.
        memory: memory budget, MiB.
        kind: key of the model and the losses, for which the activations of a token are measured once.
    """
    inner = problem.inner
    if not problem.is_stacked:
        return Plan(tasks, inner.steps)  # nothing can be run at once
    weights, activations = _bytes_of_task(problem, kind)
    averages = {"Momentum": 1, "Adam": 2}.get(type(inner.rule).__name__, 0)
    at_work = _AT_WORK * weights
    short = tasks * (int(_GRAPH * activations) + at_work) > memory * MIB and not inner.first_order
    tape = int((_DUAL if short else _GRAPH) * activations)
    of_state = weights * (1 + averages)
    between = max(0, inner.steps - 1)
    budget = memory * MIB
    if between:
        budget = min(budget, tasks * (tape + _AT_WORK_FIRST * weights))  # for one step
    at_once = int(budget / (tape + at_work + between * of_state))
    if at_once >= 1:
        parts = math.ceil(tasks / at_once)  # of equal size
        return Plan(math.ceil(tasks / parts), between, short)
    left = budget - tape - at_work
    return Plan(1, min(between, max(0, int(left / max(1, of_state)))), short)


def loop_bytes(problem: Problem, kind: object) -> int | None:
    """Estimate the memory of a loop over tasks that keeps the graphs of all inner steps of one task; see `plan`.

    None if the data cannot be stacked, as the activations of a token are measured on stacked data.
    """
    if not problem.is_stacked:
        return None
    weights, activations = _bytes_of_task(problem, kind)
    return int((problem.inner.steps + 1) * (_GRAPH * activations + 3 * weights))


def _bytes_of_task(problem: Problem, kind: object) -> tuple[int, int]:
    """Return the memory of a task's adapted parameters, and that of its activations."""
    trainable = [(name, p) for name, p in problem.model.named_parameters() if p.requires_grad]
    weights = sum(p.nbytes for name, p in trainable if problem.inner.adapts(name))
    sizes = [_size(level.stacked) for level in (problem.support, problem.query)]
    if kind not in _measured:
        _measured[kind] = _saved_bytes(problem) // max(1, sizes[1])
    return weights, max(sizes) * _measured[kind]


def _size(stacked: object) -> int:
    """Return the largest number of elements in one tensor of a task's data."""
    leaves: Sequence[object] = tree_leaves(stacked)
    return max((leaf[0].numel() for leaf in leaves if isinstance(leaf, Tensor)), default=0)


def _saved_bytes(problem: Problem) -> int:
    """Measure the memory that a pass over the query data of one task keeps for the backward pass."""
    seen: dict[int, int] = {}
    # The graph also references the parameters, which exist anyway.
    there = {parameter.untyped_storage().data_ptr() for parameter in problem.model.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in there:
            seen[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    query = problem.query.of(slice(0, 1))
    sweep = Sweep(replace(problem, support=query, query=query), 1, at_once=True, slots=0)
    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with hooks, torch.enable_grad(), dropping_nothing(problem.model):
        state = sweep.begin()
        leaves = {name: value.detach().requires_grad_() for name, value in state.parameters.items()}
        list(sweep.losses_of("query", 0)(leaves, sweep.shared))
    return sum(seen.values())
