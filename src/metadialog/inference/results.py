"""Results of models."""

import math
from dataclasses import dataclass
from typing import Self


class Reply(str):
    """A reply with its score.

    Attributes:
        score: mean log-probability of its tokens, including the end token, nats; NaN for retrieved replies.
        tokens: number of tokens, without the end token.
    """

    score: float
    tokens: int

    def __new__(cls, text: str, score: float = math.nan, tokens: int = 0) -> Self:
        """Create a reply."""
        made = super().__new__(cls, text)
        made.score = score
        made.tokens = tokens
        return made


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A point of the adaptation curve.

    Attributes:
        step: number of inner steps.
        support_loss: loss on the dialogues adapted to, nats per token.
        held_out_loss: loss on the held-out dialogues; None if there are none.
    """

    step: int
    support_loss: float
    held_out_loss: float | None = None

    @property
    def loss(self) -> float:
        """The loss by which a model is judged: on the held-out dialogues, if there are any."""
        return self.support_loss if self.held_out_loss is None else self.held_out_loss


@dataclass(frozen=True, slots=True)
class DialogueScore:
    """Scores of a model on dialogues.

    Attributes:
        loss: mean negative log-likelihood of the response tokens, nats.
        word_perplexity: `exp(total negative log-likelihood / words)`; comparable between tokenizers.
        token_accuracy: share of the tokens that are the model's most likely prediction, 0 to 1.
        tokens: number of counted tokens.
        words: number of counted words.
    """

    loss: float
    word_perplexity: float
    token_accuracy: float
    tokens: int
    words: int


@dataclass(frozen=True, slots=True)
class NearExchange:
    """An exchange of the support dialogues.

    Attributes:
        similarity: cosine of the TF-IDF vectors of the two contexts, 0 to 1.
        context: the turns before the response, one a line, each with its speaker.
        response: the response.
    """

    similarity: float
    context: str
    response: str
