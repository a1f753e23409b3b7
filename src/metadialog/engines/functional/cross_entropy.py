"""The softmax cross-entropy of tokens, with hand-written derivatives."""

# ruff: noqa: ARG002 - all operations have the same signature

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from metadialog.engines.functional.written_out import Operation, Tangents, Tensors, call


class CrossEntropy(Operation):
    """`-log softmax(logits)` at the targets, for logits `[tasks, rows, vocab]` and token ids `[tasks, rows]`.

    Only the slope `p - onehot(y)` is kept, from which all derivatives follow.
    """

    outputs = 1
    weights: frozenset[int] = frozenset()
    rank = 2

    def forward(self, logits: Tensor, targets: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """See `Operation.forward`."""
        slope = torch.softmax(logits, -1)
        # log(sum(exp z)), from the largest logit and its probability, which cannot underflow
        norm = logits.amax(-1) - slope.amax(-1).log_()
        chosen = targets[..., None]
        losses = norm - logits.gather(-1, chosen)[..., 0]
        slope.scatter_add_(-1, chosen, slope.new_full((1,), -1.0).expand(chosen.shape))
        return (losses,), (slope,)

    def backward(
        self, inputs: Sequence[Any], kept: Sequence[Tensor], cotangents: Tensors, wanted: Sequence[bool]
    ) -> tuple[Tensors, tuple[Tensor, ...]]:
        """See `Operation.backward`."""
        (by_losses,) = cotangents
        assert by_losses is not None  # noqa: S101 - it is the only output
        return (kept[0] * by_losses[..., None], None), ()

    def tangent(self, inputs: Sequence[Any], kept: Sequence[Tensor], along: Tensors) -> tuple[Tensors, Any]:
        """See `Operation.tangent`."""
        if along[0] is None:
            return (None,), None
        result = (kept[0] * along[0]).sum(-1)
        return (result,), result

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
        (slope,), (by_losses,), (d_by_losses,) = kept, cotangents, tangents.cotangents
        along, state = tangents.inputs[0], tangents.state
        assert by_losses is not None  # noqa: S101 - it is the only output
        result = None
        if along is not None:
            # p (u - <p, u>), where p is the slope and 1 at the target, and <p, u> the tangent of the loss and u there
            chosen, weight = inputs[1][..., None], by_losses[..., None]
            at_target = along.gather(-1, chosen)
            result = (along - (state[..., None] + at_target)).mul_(slope).mul_(weight)
            result.scatter_add_(-1, chosen, -weight * state[..., None])
        if d_by_losses is not None:
            rest = slope * d_by_losses[..., None]
            result = rest if result is None else result.add_(rest)
        return result, None


CROSS_ENTROPY = CrossEntropy()


def token_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the negative log-likelihood, nats, of each target, `[rows]`, given logits `[rows, vocab]`."""
    (losses,) = call(CROSS_ENTROPY, logits, targets)
    return losses
