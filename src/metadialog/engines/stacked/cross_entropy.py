"""The output layer and the softmax cross-entropy in one, in blocks of tasks, with its derivatives written out.

The logits are never kept: of each token stays the derivative of its loss by the logits, `w (softmax(z) - onehot(y))`,
from which everything else follows. Blocks are made small enough to stay in a processor's cache between passes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from metadialog.engines.stacked.affine import add_product, affine, outer, total, transposed

BLOCK_BYTES = 8 * 2**20
"""Logits that are worked on at a time; one task's at least."""


@dataclass(frozen=True, slots=True)
class Targets:
    """What is to be predicted.

    Attributes:
        tokens: int64, `[tasks, rows]`.
        weights: of each token's loss in its task's mean; 0 for padding, `[tasks, rows]`.
    """

    tokens: Tensor
    weights: Tensor

    def block(self, tasks: slice) -> "Targets":
        """Return those of some tasks."""
        return Targets(self.tokens[tasks], self.weights[tasks])


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which derivatives of the output layer to compute, and whether summed over tasks.

    Attributes:
        weight: True for summed, False for each task's, None for not at all.
        bias: the same for the bias.
    """

    weight: bool | None
    bias: bool | None


@dataclass(frozen=True, slots=True)
class OutputDerivatives:
    """Derivatives by the layer's input `[tasks, rows, in]`, weight and bias; None where not wanted."""

    inputs: Tensor
    weight: Tensor | None
    bias: Tensor | None


class Gathered:
    """Collects a derivative over blocks of tasks: adds up what is summed, lines up what is not."""

    def __init__(self, summed: bool | None) -> None:
        self.summed = summed
        self._parts: list[Tensor] = []

    def add(self, part: Tensor) -> None:
        """Take the derivative over one more block."""
        if self.summed and self._parts:
            self._parts[0] += part
        else:
            self._parts.append(part)

    def result(self) -> Tensor | None:
        """Return the derivative over all blocks; None if it is not wanted."""
        if self.summed is None:
            return None
        return self._parts[0] if len(self._parts) == 1 else torch.cat(self._parts)


def blocks(tasks: int, bytes_of_task: int) -> Iterator[slice]:
    """Divide tasks into blocks of about `BLOCK_BYTES`."""
    size = max(1, BLOCK_BYTES // max(1, bytes_of_task))
    for start in range(0, tasks, size):
        yield slice(start, min(start + size, tasks))


def of_block(weight: Tensor, tasks: slice, shared_dim: int) -> Tensor:
    """Return a block's part of a weight, or all of it if it is shared."""
    return weight if weight.dim() == shared_dim else weight[tasks]


def loss_and_slope(x: Tensor, weight: Tensor, bias: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
    """Return each task's mean loss, `[tasks]`, nats, and its derivative by the logits, `[tasks, rows, vocab]`.

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
        buffer = torch.empty_like(now) if buffer is None else buffer[: len(now)]  # new memory costs more than a pass
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
    """Take the derivative by the logits back through the output layer; shapes as in `loss_and_slope`."""
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
        """Return that of some tasks."""
        return Direction(*(None if t is None else t[tasks] for t in (self.inputs, self.weight, self.bias)))


def backward_tangent(
    slope: Tensor, x: Tensor, weight: Tensor, targets: Targets, direction: Direction, wanted: Wanted
) -> OutputDerivatives:
    """Differentiate `backward`, slope and all, in a direction; shapes as in `loss_and_slope`."""
    inputs = torch.empty_like(x)
    weights, biases = Gathered(wanted.weight), Gathered(wanted.bias)
    buffer: Tensor | None = None
    for block in blocks(x.shape[0], slope[0].nbytes):
        along, weight_now, slope_now = direction.block(block), of_block(weight, block, 2), slope[block]
        buffer = torch.empty_like(slope_now) if buffer is None else buffer[: len(slope_now)]
        d_logits = _logits_tangent(x[block], weight_now, along, out=buffer)
        d_slope = _slope_tangent(slope_now, targets.block(block), d_logits)
        inputs[block] = transposed(d_slope, weight_now)
        if along.weight is not None:
            inputs[block].baddbmm_(slope_now, along.weight)
        if wanted.weight is not None:
            part = outer(d_slope, x[block], summed=wanted.weight)
            if along.inputs is not None:
                _add_outer(part, slope_now, along.inputs)
            weights.add(part)
        if wanted.bias is not None:
            biases.add(total(d_slope, summed=wanted.bias))
    return OutputDerivatives(inputs, weights.result(), biases.result())


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
    found = d_logits.mul_(slope)
    mean = found.sum(-1, keepdim=True).div_(weights.clamp_min(torch.finfo(weights.dtype).tiny)).add_(at_target)
    found.addcmul_(slope, -mean)
    return found.scatter_add_(-1, chosen, weights * (at_target - mean))


def _add_outer(part: Tensor, slope: Tensor, d_inputs: Tensor) -> None:
    """Add `slope.T @ d_inputs` to a derivative, in place."""
    if part.dim() == slope.dim():
        part.baddbmm_(slope.mT, d_inputs)
    else:
        part.addmm_(slope.reshape(-1, slope.shape[-1]).t(), d_inputs.reshape(-1, d_inputs.shape[-1]))
