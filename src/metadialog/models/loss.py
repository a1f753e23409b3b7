"""The negative log-likelihood of the counted tokens, the loss of all algorithms."""

import torch
from torch import Tensor, nn

from metadialog.episodes import Batch
from metadialog.models.protocol import as_dialogue_model


def token_losses(model: nn.Module, batch: Batch) -> Tensor:
    """Return each target's negative log-likelihood, `[batch, time]`, nats; 0 where it is masked."""
    return as_dialogue_model(model).token_losses(batch.inputs, batch.targets, batch.mask)


def token_scores(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the result of `token_losses`, and whether each target is the most likely token."""
    return as_dialogue_model(model).token_scores(batch.inputs, batch.targets, batch.mask)


def mean_token_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Return the mean negative log-likelihood of the counted tokens, scalar, nats."""
    parts = batch.buckets or (batch,)
    return torch.stack([token_losses(model, part).sum() for part in parts]).sum() / batch.mask.sum()
