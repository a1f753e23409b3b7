"""The loss that all algorithms share: negative log-likelihood of the counted tokens."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from metadialog.episodes import Batch


def token_losses(model: nn.Module, batch: Batch) -> Tensor:
    """Return each target's negative log-likelihood, `[batch, time]`, nats; 0 where the mask leaves it out."""
    logits, _ = model(batch.inputs)  # [batch, time, vocab]
    return _losses(logits, batch)


def token_scores(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return each target's negative log-likelihood as `token_losses` does, and whether it is the most likely token."""
    logits, _ = model(batch.inputs)  # [batch, time, vocab]
    return _losses(logits, batch), (logits.argmax(-1) == batch.targets) & batch.mask


def mean_token_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Return the mean negative log-likelihood of the counted tokens, scalar, nats."""
    parts = batch.buckets or (batch,)
    return torch.stack([token_losses(model, part).sum() for part in parts]).sum() / batch.mask.sum()


def _losses(logits: Tensor, batch: Batch) -> Tensor:
    losses = cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), reduction="none")  # [batch * time]
    return losses.view_as(batch.targets) * batch.mask
