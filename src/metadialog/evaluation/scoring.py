"""How well a model predicts the responses of a set."""

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
"""How many times as many exchanges can be in a pass of which no graph is kept."""


@dataclass(frozen=True, slots=True)
class Score:
    """Of one set.

    Attributes:
        loss: mean negative log-likelihood of the counted tokens, nats.
        tokens: how many they are.
        accuracy: share of them that the model holds most likely, 0 to 1.
    """

    loss: float
    tokens: int
    accuracy: float


def score(model: nn.Module, batch: Batch) -> Score:
    """Score a model on a set."""
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
    """Switch dropout off, keep no graph and do without cuDNN; leave the model in the mode that it was in."""
    was_training = model.training
    model.eval()
    try:
        # Algorithms adapt with gradients on by themselves; cuDNN is off for all of them alike.
        with torch.no_grad(), torch.backends.cudnn.flags(enabled=False):
            yield
    finally:
        model.train(was_training)


def word_perplexity(nats: float, words: int) -> float:
    """Return `exp(total negative log-likelihood / words)`.

    It is infinite where that is beyond a float's range, and NaN where there are no words (a reference may be all
    punctuation).
    """
    if words == 0:
        return math.nan
    try:
        return math.exp(nats / words)
    except OverflowError:
        return math.inf
