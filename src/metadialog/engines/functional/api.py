"""The meta-gradient of any model and any tasks, dialogues or not."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from metadialog.engines.base import InnerLoop, MetaGradient, Reduction
from metadialog.engines.functional.batches import stack_alike
from metadialog.engines.functional.engine import FunctionalEngine
from metadialog.engines.functional.levels import Level
from metadialog.inner.base import InnerRule
from metadialog.inner.sgd import PLAIN

Loss = Callable[[nn.Module, Any], Tensor]
"""Maps (model, support or query data) to a scalar."""
Task = tuple[Any, Any]
"""Support and query data: tensors, or tuples, lists and dicts of them."""

MEMORY = 1024
_engines: dict[float, FunctionalEngine] = {}


def meta_gradient(
    model: nn.Module,
    loss_fn: Loss,
    tasks: Sequence[Task],
    *,
    inner_lr: float,
    steps: int = 1,
    first_order: bool = False,
    reduction: Reduction = "mean",
    adapted: Sequence[str] | None = None,
    rule: InnerRule = PLAIN,
    memory: float = MEMORY,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss after adaptation, and its exact gradient (MAML, Finn et al. 2017).

    With `theta_i' = theta - inner_lr * grad L(theta; support_i)`, `steps` times, the loss is the mean over tasks of
    `L(theta_i'; query_i)`. Tasks whose data have the same shapes are computed in one pass; memory does not grow with
    `steps`; recurrent layers, including cuDNN's, are differentiated twice. The model does not change.

    Args:
        model: any twice differentiable module.
        loss_fn: maps (model, support or query data) to a scalar.
        tasks: (support, query) pairs: tensors, or tuples, lists and dicts of tensors.
        inner_lr: the inner learning rate.
        steps: inner steps.
        first_order: treat the inner gradients as constants.
        reduction: how the tasks' losses are combined: mean or sum.
        adapted: names of the parameters that the inner loop changes; None for all trainable ones.
        rule: how they are updated: gradient descent, with momentum, Adam, with clipping, ...
        memory: memory that it may use in addition to the model, MiB; a single task is run even if it takes more.

    Returns:
        The loss, scalar, and the gradients of the trainable parameters, by name.

    Raises:
        ValueError: there are no tasks, or `adapted` contains a name that is not a parameter.

    Example:
        ```python
        loss, gradients = meta_gradient(model, loss_fn, tasks, inner_lr=0.1, steps=5)
        for name, parameter in model.named_parameters():
            parameter.grad = gradients[name]
        optimizer.step()
        ```
    """
    names = {name for name, _ in model.named_parameters()}
    if not tasks:
        raise ValueError("tasks: there are none; there should be one (support, query) pair or more")
    if unknown := set(adapted or ()) - names:
        raise ValueError(f"adapted: {sorted(unknown)} are not parameters of the model: {', '.join(sorted(names))}")
    inner = InnerLoop(inner_lr, steps, first_order, None if adapted is None else frozenset(adapted), rule=rule)
    engine = _engines.setdefault(memory, FunctionalEngine(memory=memory))
    numbered = list(enumerate(tasks))
    results = [_of_alike(engine, model, loss_fn, alike, inner) for alike in _by_shapes(numbered)]
    weight = 1 / len(tasks) if reduction == "mean" else 1.0
    loss = torch.stack([part.loss for part in results]).sum() * weight
    by_parameter = zip(*(part.gradients for part in results), strict=True)
    trainable = (name for name, parameter in model.named_parameters() if parameter.requires_grad)
    return loss, {name: torch.stack(parts).sum(0) * weight for name, parts in zip(trainable, by_parameter, strict=True)}


def _of_alike(
    engine: FunctionalEngine, model: nn.Module, loss_fn: Loss, tasks: Sequence[tuple[int, Task]], inner: InnerLoop
) -> MetaGradient:
    """Return the sums over tasks whose data have the same shapes."""
    numbers, pairs = zip(*tasks, strict=True)
    support, query = (_level(loss_fn, data) for data in zip(*pairs, strict=True))
    kind = type(model), getattr(loss_fn, "__code__", type(loss_fn)), type(inner.rule)
    return engine.differentiate(model, support, query, inner, "sum", numbers, kind)


def _level(loss_fn: Loss, data: Sequence[Any]) -> Level:
    stacked = stack_alike(data)
    return Level(loss_fn, [[(of_task, 1.0)] for of_task in data], None if stacked is None else loss_fn, stacked)


def _by_shapes(tasks: Sequence[tuple[int, Task]]) -> Iterator[list[tuple[int, Task]]]:
    """Group tasks whose data have the same structure and shapes."""
    groups: dict[object, list[tuple[int, Task]]] = {}
    for number, task in tasks:
        leaves, structure = torch.utils._pytree.tree_flatten(task)  # noqa: SLF001 - torch.func nests by it as well
        shapes = tuple(getattr(leaf, "shape", None) for leaf in leaves)
        groups.setdefault((str(structure), shapes), []).append((number, task))
    yield from groups.values()
