"""The loss that all algorithms share: negative log-likelihood of the counted tokens."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from metadialog.episodes import Batch


def token_losses(model: nn.Module, batch: Batch) -> Tensor:
    """Return each target's negative log-likelihood, `[batch, time]`, nats; 0 where the mask leaves it out."""
    logits, places = counted_logits(model, batch)
    return _put_back(_losses(logits, batch, places), batch, places)


def token_scores(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return each target's negative log-likelihood as `token_losses` does, and whether it is the most likely token."""
    logits, places = counted_logits(model, batch)
    hits = logits.argmax(-1) == batch.targets.flatten()[places]
    return _put_back(_losses(logits, batch, places), batch, places), _put_back(hits, batch, places)


def mean_token_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Return the mean negative log-likelihood of the counted tokens, scalar, nats."""
    parts = batch.buckets or (batch,)
    return torch.stack([_losses(*_counted(model, part)).sum() for part in parts]).sum() / batch.mask.sum()


def counted_logits(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the logits of the counted targets alone, `[counted, vocab]`, and their places among `batch * time`.

    A model whose class says `predicts_at = True` takes the places as `at`, and computes no other logits: those of
    padding and of contexts would be most of the work of a small model with a large vocabulary.
    """
    places = batch.mask.flatten().nonzero()[:, 0]
    if getattr(model, "predicts_at", False):
        logits, _ = model(batch.inputs, at=places)
        return logits, places
    logits, _ = model(batch.inputs)  # [batch, time, vocab]
    return logits.flatten(0, 1)[places], places


def at_places(features: Tensor, at: Tensor | None) -> Tensor:
    """Return features `[batch, time, width]` at some places among `batch * time`, `[places, width]`; None for all."""
    return features if at is None else features.flatten(0, 1).index_select(0, at)


def _counted(model: nn.Module, batch: Batch) -> tuple[Tensor, Batch, Tensor]:
    logits, places = counted_logits(model, batch)
    return logits, batch, places


def _losses(logits: Tensor, batch: Batch, places: Tensor) -> Tensor:
    return cross_entropy(logits, batch.targets.flatten()[places], reduction="none")  # [counted]


def _put_back(values: Tensor, batch: Batch, places: Tensor) -> Tensor:
    """Return what belongs to the counted targets, `[counted]`, as `[batch, time]`, zero elsewhere."""
    return values.new_zeros(batch.targets.numel()).index_copy(0, places, values).view_as(batch.targets)
