"""Scores of a model on a batch."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from metadialog.engines.support import passes
from metadialog.episodes import Batch
from metadialog.models.loss import token_scores
from metadialog.models.protocol import rows_at_once

_WITHOUT_A_GRAPH = 4
"""How many times as many exchanges fit into a pass without a graph."""


@dataclass(frozen=True, slots=True)
class Score:
    """Scores on one batch.

    Attributes:
        loss: mean negative log-likelihood of the counted tokens, nats.
        tokens: number of counted tokens.
        accuracy: share of them that are the model's most likely prediction, 0 to 1.
    """

    loss: float
    tokens: int
    accuracy: float


def score(model: nn.Module, batch: Batch) -> Score:
    """Score a model on a batch."""
    tokens = int(batch.mask.sum())
    rows = rows_at_once(model)
    total, hits = 0.0, 0
    for part, _ in passes(batch, None if rows is None else _WITHOUT_A_GRAPH * rows):
        losses, hit = token_scores(model, part)
        total += losses.sum().item()
        hits += int(hit.sum())
    return Score(total / tokens, tokens, hits / tokens)


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Switch off dropout, gradients and cuDNN; restore the model's mode on exit."""
    was_training = model.training
    model.eval()
    try:
        # Algorithms enable gradients themselves to adapt; cuDNN is off for all of them.
        with torch.no_grad(), torch.backends.cudnn.flags(enabled=False):
            yield
    finally:
        model.train(was_training)


def word_perplexity(nats: float, words: int) -> float:
    """Return `exp(total negative log-likelihood / words)`.

    The result is infinite if it exceeds the range of a float, and NaN without words (a reference may be only
    punctuation).
    """
    if words == 0:
        return math.nan
    try:
        return math.exp(nats / words)
    except OverflowError:
        return math.inf
