"""The losses of several tasks as functions of their parameters, in one pass or task by task."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_map

from metadialog.engines.functional.affine import affine
from metadialog.engines.functional.recurrent import recurrent_layer
from metadialog.models.cells import Ways, plain_layers

Loss = Callable[[nn.Module, Any], Tensor]
"""Maps (model, data of a task) to a scalar."""
Parameters = Mapping[str, Tensor]
WRITTEN_OUT = Ways(affine, recurrent_layer)


@dataclass(frozen=True, slots=True)
class Level:
    """One level of learning: a loss and the data of each task.

    Attributes:
        loss: loss of one task.
        parts: data of each task in parts, each with its share in the task's loss.
        stacked_loss: the same loss as a function that `vmap` supports; None if there is none.
        stacked: its data for all tasks, a nested structure of tensors `[tasks, ...]`.
        shapes: context for `stacked_loss` in which data-dependent shapes are those of the largest task.
    """

    loss: Loss
    parts: Sequence[Sequence[tuple[Any, float]]]
    stacked_loss: Loss | None = None
    stacked: Any = None
    shapes: Callable[[], AbstractContextManager[None]] = nullcontext

    def of(self, tasks: slice) -> "Level":
        """Return the level of some of the tasks."""
        cut = None if self.stacked is None else tree_map(lambda tensor: tensor[tasks], self.stacked)
        return Level(self.loss, self.parts[tasks], self.stacked_loss, cut, self.shapes)


class _Lossy(nn.Module):
    """A model and a function of it as one module, whose parameters `functional_call` can replace."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, compute: Callable[[nn.Module], Any]) -> Any:  # noqa: ANN401 - whatever is computed
        return compute(self.model)


def call_with(model: nn.Module, parameters: Parameters, compute: Callable[[nn.Module], Any]) -> Any:  # noqa: ANN401
    """Return a function's value for a model with other parameters; tied parameters stay tied."""
    named = {f"model.{name}": value for name, value in parameters.items()}
    return functional_call(_Lossy(model), named, (compute,))


def stacked_losses(
    model: nn.Module,
    level: Level,
    adapted: Parameters,
    shared: Parameters,
    context: Callable[[Any], AbstractContextManager[None]] | None = None,
    of_tasks: Any = None,  # noqa: ANN401 - nested as it is
) -> Tensor:
    """Return the loss of each task, `[tasks]`, in one pass.

    Args:
        model: supplies all other parameters.
        level: the loss.
        adapted: parameters of each task, `[tasks, ...]`.
        shared: parameters that the tasks share.
        context: context for the loss of each task, called with its part of `of_tasks`.
        of_tasks: a nested structure of tensors `[tasks, ...]`.

    Raises:
        RuntimeError: `vmap` does not support one of its operations.
    """
    stacked_loss = level.stacked_loss
    if stacked_loss is None:
        raise RuntimeError("vmap: the tasks' data have different shapes")

    def loss(parameters: Parameters, data: Any, of_task: Any) -> Tensor:  # noqa: ANN401
        with nullcontext() if context is None else context(of_task):
            result: Tensor = call_with(model, {**shared, **parameters}, lambda module: stacked_loss(module, data))
        return result

    with level.shapes(), plain_layers(model, WRITTEN_OUT):
        losses: Tensor = vmap(loss)(dict(adapted), level.stacked, of_tasks or {})
    return losses


def part_losses(model: nn.Module, level: Level, adapted: Parameters, shared: Parameters) -> Iterator[Tensor]:
    """Yield the losses of the parts of a single task, `[1]` each, which add up to the task's loss.

    The parameters of `adapted` are `[1, ...]`.
    """
    own = {**shared, **{name: value[0] for name, value in adapted.items()}}
    for data, share in level.parts[0]:
        loss: Tensor = call_with(model, own, lambda module, data=data: level.loss(module, data))  # type: ignore[misc]
        yield (loss if share == 1 else loss * share)[None]


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Disable kernels without a second derivative: cuDNN's recurrent layers and fused attention."""
    with ExitStack() as stack:
        stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        yield
