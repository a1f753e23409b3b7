"""What a model in use returns."""

import math
from dataclasses import dataclass
from typing import Self


class Reply(str):
    """A reply, with what the model thinks of it.

    Attributes:
        score: mean log-probability of its tokens, the end included, nats; NaN where there are no probabilities, as for
            a reply that is taken from the dialogues that were adapted to.
        tokens: how many tokens it has, without the end.
    """

    score: float
    tokens: int

    def __new__(cls, text: str, score: float = math.nan, tokens: int = 0) -> Self:
        """Make a reply."""
        made = super().__new__(cls, text)
        made.score = score
        made.tokens = tokens
        return made


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A point of the adaptation curve.

    Attributes:
        step: inner steps that were taken.
        support_loss: mean negative log-likelihood of a token of the dialogues that are adapted to, nats.
        held_out_loss: the same of the held-out dialogues; None where there are none.
    """

    step: int
    support_loss: float
    held_out_loss: float | None = None


@dataclass(frozen=True, slots=True)
class DialogueScore:
    """How well a model predicts dialogues.

    Attributes:
        loss: mean negative log-likelihood of a token of the responses, nats.
        word_perplexity: `exp(total negative log-likelihood / words)`; comparable between tokenizers.
        token_accuracy: share of the tokens that the model holds most likely, 0 to 1.
        tokens: tokens that were counted.
        words: words that were counted.
    """

    loss: float
    word_perplexity: float
    token_accuracy: float
    tokens: int
    words: int


@dataclass(frozen=True, slots=True)
class NearExchange:
    """An exchange of the dialogues that were adapted to.

    Attributes:
        similarity: cosine of the TF-IDF vectors of the two contexts, 0 to 1.
        context: the turns before the response, one a line, each with its speaker.
        response: the response.
    """

    similarity: float
    context: str
    response: str
