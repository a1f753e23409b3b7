"""The output layer and the softmax cross-entropy combined, in blocks of tasks, with hand-written derivatives.

The logits are not kept, but the derivative of each token's loss with respect to the logits, `w (softmax(z) -
onehot(y))`, from which everything else follows. Blocks are small enough to stay in a processor's cache between passes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils._pytree import register_dataclass

from metadialog.engines.stacked.affine import add_product, affine, outer, total, transposed

BLOCK_BYTES = 8 * 2**20
"""Size of the logits that are processed at a time; at least one task's."""


@dataclass(frozen=True, slots=True)
class Targets:
    """The tokens to predict.

    Attributes:
        tokens: int64, `[tasks, rows]`.
        weights: weight of each token's loss in its task's mean; 0 for padding, `[tasks, rows]`.
    """

    tokens: Tensor
    weights: Tensor

    def block(self, tasks: slice) -> "Targets":
        """Return the targets of some tasks."""
        return Targets(self.tokens[tasks], self.weights[tasks])


register_dataclass(Targets)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The derivatives of the output layer to compute.

    Attributes:
        weight: True for summed over tasks, False for each task's, None for neither.
        bias: the same for the bias.
    """

    weight: bool | None
    bias: bool | None


@dataclass(frozen=True, slots=True)
class OutputDerivatives:
    """Derivatives of the layer's input `[tasks, rows, in]`, weight and bias; None if not wanted."""

    inputs: Tensor
    weight: Tensor | None
    bias: Tensor | None


def blocks(tasks: int, bytes_of_task: int) -> Iterator[slice]:
    """Divide tasks into blocks of about `BLOCK_BYTES`."""
    size = max(1, BLOCK_BYTES // max(1, bytes_of_task))
    for start in range(0, tasks, size):
        yield slice(start, min(start + size, tasks))


def of_block(weight: Tensor, tasks: slice, shared_dim: int) -> Tensor:
    """Return a block's part of a weight, or all of it if it is shared."""
    return weight if weight.dim() == shared_dim else weight[tasks]


def loss_and_slope(x: Tensor, weight: Tensor, bias: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
    """Return each task's mean loss, `[tasks]`, nats, and the derivative with respect to logits, `[tasks, rows, vocab]`.

    Args:
        x: input of the output layer, `[tasks, rows, in]`.
        weight: shared `[vocab, in]` or stacked.
        bias: shared `[vocab]` or stacked.
        targets: what is to be predicted.
    """
    tasks, rows, _ = x.shape
    slope = x.new_empty(tasks, rows, bias.shape[-1])
    losses = x.new_empty(tasks)
    buffer: Tensor | None = None
    for block in blocks(tasks, slope[0].nbytes):
        wanted, now = targets.block(block), slope[block]
        buffer = (
            torch.empty_like(now) if buffer is None else buffer[: len(now)]
        )  # allocating memory takes longer than a pass
        logits = affine(x[block], of_block(weight, block, 2), of_block(bias, block, 1), out=buffer)
        torch.softmax(logits, -1, out=now)
        # log(sum(exp z)), from the largest logit and its probability, which cannot underflow
        norm = logits.amax(-1, keepdim=True) - now.amax(-1, keepdim=True).log_()
        chosen = wanted.tokens[..., None]
        losses[block] = ((norm - logits.gather(-1, chosen)).squeeze(-1) * wanted.weights).sum(1)
        now *= wanted.weights[..., None]
        now.scatter_add_(-1, chosen, -wanted.weights[..., None])
    return losses, slope


def backward(slope: Tensor, x: Tensor, weight: Tensor, wanted: Wanted) -> OutputDerivatives:
    """Backpropagate the derivative of the logits through the output layer; shapes as in `loss_and_slope`."""
    return OutputDerivatives(
        transposed(slope, weight),
        None if wanted.weight is None else outer(slope, x, summed=wanted.weight),
        None if wanted.bias is None else total(slope, summed=wanted.bias),
    )


@dataclass(frozen=True, slots=True)
class Direction:
    """A direction to differentiate in: tangents of the layer's input, weight and bias; None for zero."""

    inputs: Tensor | None
    weight: Tensor | None
    bias: Tensor | None

    def block(self, tasks: slice) -> "Direction":
        """Return the direction of some tasks."""
        return Direction(*(None if t is None else t[tasks] for t in (self.inputs, self.weight, self.bias)))


def backward_tangent(
    slope: Tensor,
    x: Tensor,
    weight: Tensor,
    targets: Targets,
    direction: Direction,
    wanted: Wanted,
    out: Tensor | None = None,
) -> OutputDerivatives:
    """Differentiate `backward`, including the slope, in a direction; shapes as in `loss_and_slope`.

    `out` is the output tensor for the derivative of a stacked weight.
    """
    tasks, vocab = x.shape[0], slope.shape[-1]
    inputs = torch.empty_like(x)
    by_weight, by_bias = None, None
    if wanted.weight is not None:
        by_weight = x.new_zeros(vocab, x.shape[-1]) if wanted.weight else out
        by_weight = x.new_empty(tasks, vocab, x.shape[-1]) if by_weight is None else by_weight
    if wanted.bias is not None:
        by_bias = x.new_zeros(vocab) if wanted.bias else x.new_empty(tasks, vocab)
    buffer: Tensor | None = None
    for block in blocks(tasks, slope[0].nbytes):
        along, weight_now, slope_now = direction.block(block), of_block(weight, block, 2), slope[block]
        buffer = torch.empty_like(slope_now) if buffer is None else buffer[: len(slope_now)]
        d_logits = _logits_tangent(x[block], weight_now, along, out=buffer)
        d_slope = _slope_tangent(slope_now, targets.block(block), d_logits)
        inputs[block] = transposed(d_slope, weight_now)
        if along.weight is not None:
            inputs[block].baddbmm_(slope_now, along.weight)
        if by_weight is not None:
            _gather_outer(by_weight, block, d_slope, x[block], slope_now, along.inputs)
        if by_bias is not None and wanted.bias:
            by_bias += total(d_slope, summed=True)
        elif by_bias is not None:
            torch.sum(d_slope, 1, out=by_bias[block])
    return OutputDerivatives(inputs, by_weight, by_bias)


def _logits_tangent(x: Tensor, weight: Tensor, direction: Direction, *, out: Tensor) -> Tensor:
    """Differentiate the logits in a direction, into `out`, `[tasks, rows, vocab]`."""
    if direction.bias is not None:
        out[:] = direction.bias[:, None]
    else:
        out.zero_()
    if direction.inputs is not None:
        add_product(out, direction.inputs, weight)
    return out if direction.weight is None else out.baddbmm_(x, direction.weight.mT)


def _slope_tangent(slope: Tensor, targets: Targets, d_logits: Tensor) -> Tensor:
    """Return the tangent of `w (p - onehot(y))`, which is `w p (dz - sum(p dz))`; `d_logits` is overwritten."""
    chosen = targets.tokens[..., None]
    weights = targets.weights[..., None]
    at_target = d_logits.gather(-1, chosen)
    # From the slope s = w (p - onehot): w p dz = s dz + w dz_y at y, and its sum over the vocabulary is w sum(p dz).
    result = d_logits.mul_(slope)
    mean = result.sum(-1, keepdim=True).div_(weights.clamp_min(torch.finfo(weights.dtype).tiny)).add_(at_target)
    result.addcmul_(slope, -mean)
    return result.scatter_add_(-1, chosen, weights * (at_target - mean))


def _gather_outer(
    gradient: Tensor, block: slice, d_slope: Tensor, x: Tensor, slope: Tensor, d_x: Tensor | None
) -> None:
    """Write `d_slope.T @ x + slope.T @ d_x` of a block of tasks, or add it to the sum over tasks."""
    if gradient.dim() == slope.dim():
        outer(d_slope, x, summed=False, out=gradient[block])
        if d_x is not None:
            gradient[block].baddbmm_(slope.mT, d_x)
        return
    gradient.addmm_(d_slope.reshape(-1, d_slope.shape[-1]).t(), x.reshape(-1, x.shape[-1]))
    if d_x is not None:
        gradient.addmm_(slope.reshape(-1, slope.shape[-1]).t(), d_x.reshape(-1, d_x.shape[-1]))
