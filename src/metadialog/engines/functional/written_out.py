"""Operations with hand-written first and second derivatives, for autograd and `torch.func.vmap`.

Autograd records every elementwise operation, and its double backward records theirs. An operation with hand-written
derivatives is a single node. Its second derivative comes from two functions that forward mode also uses: with a
cotangent `u` of the gradient `J^T c`, the scalar `<u, J^T c> = <J u, c>` has the derivative `J u` by `c`, the tangent
of the operation along `u`, and by the inputs that of `J^T c` along `u`, as second derivatives are symmetric.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Tensors = tuple[Tensor | None, ...]
"""One tensor for each input or output; None for zero or unwanted."""


@dataclass(frozen=True, slots=True)
class Tangents:
    """A direction along which `Operation.backward` is differentiated.

    Attributes:
        inputs: tangents of the inputs.
        state: values kept by `Operation.tangent` along them.
        cotangents: tangents of the cotangents.
    """

    inputs: Tensors
    state: Any
    cotangents: Tensors


class Operation(Protocol):
    """A function of several tasks at once.

    Inputs are `[tasks, ...]`, except for weights shared by all tasks: these have no task dimension, and their
    derivative is the sum over tasks.

    Attributes:
        outputs: number of outputs.
        weights: positions of the inputs that tasks may share.
        rank: number of dimensions of the first input of one task.
    """

    outputs: int
    weights: frozenset[int]
    rank: int

    def forward(self, *inputs: Any) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return the outputs, and the values to keep for the other functions."""
        ...

    def backward(
        self, inputs: Sequence[Any], kept: Sequence[Tensor], cotangents: Tensors, wanted: Sequence[bool]
    ) -> tuple[Tensors, tuple[Tensor, ...]]:
        """Return the derivatives of the wanted inputs, and the values to keep for `backward_tangent`."""
        ...

    def tangent(self, inputs: Sequence[Any], kept: Sequence[Tensor], along: Tensors) -> tuple[Tensors, Any]:
        """Return the derivatives of the outputs along a direction, and the values to keep for `backward_tangent`."""
        ...

    def backward_tangent(
        self,
        inputs: Sequence[Any],
        kept: Sequence[Tensor],
        cotangents: Tensors,
        kept_back: Sequence[Tensor],
        tangents: Tangents,
        wanted: Sequence[bool],
    ) -> Tensors:
        """Differentiate `backward` along a direction.

        Args:
            inputs: inputs of the operation.
            kept: values kept by `forward`.
            cotangents: cotangents of the outputs.
            kept_back: values kept by `backward`.
            tangents: the direction.
            wanted: inputs whose derivatives are wanted.
        """
        ...


def call(operation: Operation, *inputs: Tensor | None) -> tuple[Tensor, ...]:
    """Apply an operation to the inputs of one task, or of several tasks under `torch.func.vmap`."""
    results: tuple[Tensor, ...] = _Forward.apply(operation, *inputs)[: operation.outputs]
    return results


class _Forward(torch.autograd.Function):
    @staticmethod
    def forward(operation: Operation, *inputs: Any) -> tuple[Any, ...]:
        lifted, alone = _lifted(operation, inputs)
        outputs, kept = operation.forward(*lifted)
        return *(output[0] if alone else output for output in outputs), kept

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:  # noqa: ANN401
        ctx.operation, *tensors = inputs
        ctx.inputs = len(tensors)
        ctx.save_for_backward(*tensors, *output[-1])
        ctx.save_for_forward(*tensors, *output[-1])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        operation: Operation = ctx.operation
        wanted = tuple(ctx.needs_input_grad[1:])
        result = _Backward.apply(operation, wanted, ctx.inputs, *cotangents[: operation.outputs], *ctx.saved_tensors)
        return None, *result[:-1]

    @staticmethod
    def jvp(ctx: Any, _: None, *along: Tensor | None) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        operation: Operation = ctx.operation
        inputs, kept = ctx.saved_tensors[: ctx.inputs], ctx.saved_tensors[ctx.inputs :]
        lifted, alone = _lifted(operation, inputs)
        with torch.no_grad():
            tangents, _state = operation.tangent(lifted, kept, _lift(operation, along, alone=alone))
        return *(_down(tangent, alone=alone) for tangent in tangents), None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], operation: Operation, *inputs: Any) -> Any:  # noqa: ANN401
        moved = []
        for place, (value, dim) in enumerate(zip(inputs, in_dims[1:], strict=True)):
            if value is None or (dim is None and place in operation.weights):
                moved.append(value)
            elif dim is None:
                moved.append(value.expand(info.batch_size, *value.shape))
            else:
                moved.append(value.movedim(dim, 0))
        return call(operation, *moved), (0,) * operation.outputs


class _Backward(torch.autograd.Function):
    @staticmethod
    def forward(operation: Operation, wanted: tuple[bool, ...], count: int, *tensors: Any) -> tuple[Any, ...]:
        cotangents, inputs, kept = _parts(operation, count, tensors)
        lifted, alone = _lifted(operation, inputs)
        cotangents = _lift_all(cotangents, alone=alone)
        gradients, kept_back = operation.backward(lifted, kept, cotangents, wanted)
        return *_down_inputs(operation, gradients, alone=alone), kept_back

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:  # noqa: ANN401
        ctx.operation, ctx.wanted, ctx.count, *tensors = inputs
        ctx.tensors = len(tensors)
        ctx.save_for_backward(*tensors, *output[-1])
        ctx.save_for_forward(*tensors, *output[-1])
        ctx.set_materialize_grads(False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *along: Tensor | None) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        tangents, gradients = _differentiate(ctx, along[:-1], None, by_inputs=True)
        results = *[None] * 3, *tangents, *gradients, *[None] * (ctx.tensors - len(tangents) - len(gradients))
        return tuple(value if needed else None for value, needed in zip(results, ctx.needs_input_grad, strict=True))

    @staticmethod
    def jvp(ctx: Any, *changes: Any) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        of_cotangents, of_inputs, _ = _parts(ctx.operation, ctx.count, changes[3:])
        with torch.no_grad():
            _, gradients = _differentiate(ctx, of_inputs, of_cotangents, by_inputs=False)
        return *gradients, None


def _differentiate(ctx: Any, along: Tensors, changes: Tensors | None, *, by_inputs: bool) -> tuple[Tensors, Tensors]:  # noqa: ANN401
    """Return the tangents of the outputs along a direction, and those of the derivatives of the inputs."""
    operation: Operation = ctx.operation
    tensors, kept_back = ctx.saved_tensors[: ctx.tensors], ctx.saved_tensors[ctx.tensors :]
    cotangents, inputs, kept = _parts(operation, ctx.count, tensors)
    lifted, alone = _lifted(operation, inputs)
    cotangents = _lift_all(cotangents, alone=alone)
    changes = _lift_all((None,) * operation.outputs if changes is None else changes, alone=alone)
    along = _lift(operation, along, alone=alone)
    tangents, state = operation.tangent(lifted, kept, along)
    first = 3 + operation.outputs
    wanted = ctx.needs_input_grad[first : first + ctx.count] if by_inputs else ctx.wanted
    direction = Tangents(along, state, changes)
    result = operation.backward_tangent(lifted, kept, cotangents, kept_back, direction, wanted)
    return tuple(_down(value, alone=alone) for value in tangents), _down_inputs(operation, result, alone=alone)


def _parts(operation: Operation, count: int, tensors: Sequence[Any]) -> tuple[Any, Any, Any]:
    """Divide tensors into cotangents, inputs and kept values."""
    first = operation.outputs
    return tensors[:first], tensors[first : first + count], tensors[first + count :]


def _lifted(operation: Operation, inputs: Sequence[Any]) -> tuple[tuple[Any, ...], bool]:
    """Return the inputs with a task dimension, and whether it was added."""
    alone = inputs[0].dim() == operation.rank
    return _lift(operation, inputs, alone=alone), alone


def _lift(operation: Operation, values: Sequence[Any], *, alone: bool) -> tuple[Any, ...]:
    return tuple(
        value[None] if alone and value is not None and place not in operation.weights else value
        for place, value in enumerate(values)
    )


def _lift_all(values: Tensors, *, alone: bool) -> Tensors:
    return tuple(value[None] if alone and value is not None else value for value in values)


def _down(value: Tensor | None, *, alone: bool) -> Tensor | None:
    return value[0] if alone and value is not None else value


def _down_inputs(operation: Operation, values: Tensors, *, alone: bool) -> Tensors:
    return tuple(
        value if place in operation.weights else _down(value, alone=alone) for place, value in enumerate(values)
    )
