"""Linear layers with hand-written derivatives."""

# ruff: noqa: ARG002 - all operations have the same signature

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from metadialog.engines.functional.written_out import Operation, Tangents, Tensors, call
from metadialog.engines.stacked.affine import MATRIX, add_product, outer, product, total, transposed


class Affine(Operation):
    """`x @ weight.T + bias`, with `x` of `[tasks, rows, in]`, a weight `[out, in]` and a bias `[out]` or None."""

    outputs = 1
    weights = frozenset({1, 2})
    rank = 2

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """See `Operation.forward`."""
        weight = one_for_all(weight)
        if bias is None:
            return (product(x, weight),), ()
        if weight.dim() == MATRIX and bias.dim() == 1:
            flat = torch.addmm(bias, x.reshape(-1, x.shape[-1]), weight.t())
            return (flat.view(*x.shape[:-1], -1),), ()
        bias = bias if bias.dim() == 1 else bias[:, None]
        if weight.dim() == MATRIX:
            return (product(x, weight) + bias,), ()
        return (torch.baddbmm(bias.expand(len(x), 1, -1), x, weight.mT),), ()

    def backward(
        self, inputs: Sequence[Any], kept: Sequence[Tensor], cotangents: Tensors, wanted: Sequence[bool]
    ) -> tuple[Tensors, tuple[Tensor, ...]]:
        """See `Operation.backward`."""
        x, weight, bias = inputs
        (by_y,) = cotangents
        assert by_y is not None  # noqa: S101 - it is the only output
        by_x = transposed(by_y, one_for_all(weight)) if wanted[0] else None
        by_weight = outer(by_y, x, summed=weight.dim() == MATRIX) if wanted[1] else None
        by_bias = total(by_y, summed=bias.dim() == 1) if wanted[2] else None
        return (by_x, by_weight, by_bias), ()

    def tangent(self, inputs: Sequence[Any], kept: Sequence[Tensor], along: Tensors) -> tuple[Tensors, Any]:
        """See `Operation.tangent`."""
        x, weight, _ = inputs
        d_x, d_weight, d_bias = along
        result = None if d_x is None else product(d_x, one_for_all(weight))
        if d_weight is not None:
            result = product(x, d_weight) if result is None else add_product(result, x, d_weight)
        if d_bias is not None:
            bias = d_bias if d_bias.dim() == 1 else d_bias[:, None]
            result = bias.expand(*x.shape[:-1], -1).contiguous() if result is None else result.add_(bias)
        return (result,), None

    def backward_tangent(
        self,
        inputs: Sequence[Any],
        kept: Sequence[Tensor],
        cotangents: Tensors,
        kept_back: Sequence[Tensor],
        tangents: Tangents,
        wanted: Sequence[bool],
    ) -> Tensors:
        """See `Operation.backward_tangent`."""
        x, weight, bias = inputs
        (by_y,), (d_by_y,) = cotangents, tangents.cotangents
        d_x, d_weight, _ = tangents.inputs
        assert by_y is not None  # noqa: S101 - it is the only output
        by_x, by_weight, by_bias = None, None, None
        if wanted[0]:
            by_x = None if d_weight is None else transposed(by_y, d_weight)
            if d_by_y is not None:
                rest = transposed(d_by_y, one_for_all(weight))
                by_x = rest if by_x is None else by_x.add_(rest)
        if wanted[1]:
            summed = weight.dim() == MATRIX
            by_weight = None if d_x is None else outer(by_y, d_x, summed=summed)
            if d_by_y is not None:
                rest = outer(d_by_y, x, summed=summed)
                by_weight = rest if by_weight is None else by_weight.add_(rest)
        if wanted[2] and d_by_y is not None:
            by_bias = total(d_by_y, summed=bias.dim() == 1)
        return by_x, by_weight, by_bias


AFFINE = Affine()


def one_for_all(weight: Tensor) -> Tensor:
    """Undo the expansion over tasks of a weight that all tasks share.

    The product with it is then a single larger one. Before the first inner step this applies to all weights.
    """
    return weight[0] if weight.dim() > MATRIX and weight.stride(0) == 0 else weight


def affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return `x @ weight.T + bias` of inputs `[..., in]` as one matrix product."""
    flat = x if x.dim() == MATRIX else x.reshape(-1, x.shape[-1])
    (result,) = call(AFFINE, flat, weight, bias)
    return result if x.dim() == MATRIX else result.reshape(*x.shape[:-1], weight.shape[0])
