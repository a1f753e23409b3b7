"""How well a model predicts the responses of a set."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from metadialog.episodes import Batch
from metadialog.models.loss import token_scores


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
    losses, hits = token_scores(model, batch)
    return Score(losses.sum().item() / tokens, tokens, int(hits.sum()) / tokens)


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
