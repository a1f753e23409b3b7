"""Affine maps of all tasks with a shared or stacked weight, and their derivatives."""

import torch
from torch import Tensor

MATRIX = 2
"""Number of dimensions of a shared weight matrix; a stacked one has one more."""


def product(x: Tensor, weight: Tensor) -> Tensor:
    """Return `x @ weight.T` of every task.

    Args:
        x: `[tasks, rows, in]`.
        weight: shared `[out, in]` or stacked `[tasks, out, in]`.

    Returns:
        `[tasks, rows, out]`.
    """
    if weight.dim() == MATRIX:
        return (x.reshape(-1, x.shape[-1]) @ weight.t()).view(*x.shape[:-1], -1)
    return torch.bmm(x, weight.mT)


def add_product(base: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """Add `x @ weight.T` of every task to `base`, which is contiguous, in place; shapes as in `product`."""
    if weight.dim() == MATRIX:
        base.view(-1, base.shape[-1]).addmm_(x.reshape(-1, x.shape[-1]), weight.t())
        return base
    return base.baddbmm_(x, weight.mT)


def affine(x: Tensor, weight: Tensor, bias: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return `x @ weight.T + bias` of every task.

    Args:
        x: `[tasks, rows, in]`.
        weight: shared `[out, in]` or stacked `[tasks, out, in]`.
        bias: shared `[out]` or stacked `[tasks, out]`, by itself.
        out: output tensor, contiguous.

    Returns:
        `[tasks, rows, out]`.
    """
    base = x.new_empty(*x.shape[:-1], weight.shape[-2]) if out is None else out
    base[:] = bias if bias.dim() == 1 else bias[:, None]
    return add_product(base, x, weight)


def transposed(y: Tensor, weight: Tensor) -> Tensor:
    """Return `y @ weight` of every task, the transpose of `product`.

    Args:
        y: `[tasks, rows, out]`.
        weight: shared `[out, in]` or stacked `[tasks, out, in]`.

    Returns:
        `[tasks, rows, in]`.
    """
    if weight.dim() == MATRIX:
        return (y.reshape(-1, y.shape[-1]) @ weight).view(*y.shape[:-1], -1)
    return torch.bmm(y, weight)


def add_transposed(base: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """Return `base + y @ weight` of every task in one operation; shapes as in `transposed`."""
    if weight.dim() == MATRIX:
        return torch.addmm(base.reshape(-1, base.shape[-1]), y.reshape(-1, y.shape[-1]), weight).view(base.shape)
    return torch.baddbmm(base, y, weight)


def outer(y: Tensor, x: Tensor, *, summed: bool, out: Tensor | None = None) -> Tensor:
    """Return the gradient of a weight matrix, `y.T @ x`, of each task or summed over tasks.

    Args:
        y: cotangent of the output, `[tasks, rows, out]`.
        x: input, `[tasks, rows, in]`.
        summed: whether to sum over tasks.
        out: output tensor.

    Returns:
        `[tasks, out, in]`, or `[out, in]` if summed.
    """
    if summed:
        return torch.mm(y.reshape(-1, y.shape[-1]).t(), x.reshape(-1, x.shape[-1]), out=out)
    return torch.bmm(y.mT, x, out=out)


def total(y: Tensor, *, summed: bool) -> Tensor:
    """Return the gradient of a bias: `y`, `[tasks, rows, out]`, summed over rows, and over tasks if `summed`."""
    return y.sum((0, 1)) if summed else y.sum(1)


def plus(a: Tensor | None, b: Tensor) -> Tensor:
    """Add two tangents; the first may be None for zero."""
    return b if a is None else a + b
