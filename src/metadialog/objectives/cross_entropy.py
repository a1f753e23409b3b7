"""Maximum likelihood at both levels."""

from metadialog.objectives.base import LIKELIHOOD, Objectives
from metadialog.tokenizers.tokenizer import Tokenizer


def cross_entropy(tokenizer: Tokenizer) -> Objectives:  # noqa: ARG001 - argument of every objective
    """Return the mean negative log-likelihood of the counted tokens, in nats, for both levels."""
    return LIKELIHOOD
