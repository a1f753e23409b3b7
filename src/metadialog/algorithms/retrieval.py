"""Replies that are retrieved from the support set."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from metadialog.algorithms.base import Retriever
from metadialog.algorithms.baselines import ZeroShot
from metadialog.episodes import Exchange
from metadialog.text import words

Vector = Mapping[str, float]


class Retrieval(ZeroShot):
    """Reply with the response to the nearest support context (the baseline of DSTC8's track 2).

    The losses and perplexities in its records are those of the jointly trained model without adaptation, as retrieval
    gives no probabilities.
    """

    def retriever(self) -> Retriever:
        """Return a function that ranks the support responses by the similarity of their contexts."""
        return nearest_responses


def nearest_responses(context: str, exchanges: Sequence[Exchange]) -> list[str]:
    """Return the responses of some exchanges, in descending order of the similarity of their contexts to another one.

    The similarity is the cosine of the contexts' TF-IDF vectors over lower-cased words, with `ln((1 + n) / (1 + df)) +
    1` for the n exchanges; ties keep their order. The retrieval baseline of DSTC8's fast domain adaptation task (Lee et
    al. 2019) does the same with sentence embeddings.
    """
    near = similarities(context, [exchange.context for exchange in exchanges])
    return [exchanges[place].response for place in sorted(range(len(near)), key=lambda place: -near[place])]


def similarities(asked: str, contexts: Sequence[str]) -> list[float]:
    """Return the similarity of each context to another text: the cosine of their TF-IDF vectors, 0 to 1."""
    texts = [_words(context) for context in contexts]
    weights = _weights(texts)
    vector = _vector(_words(asked), weights)
    return [_cosine(vector, _vector(text, weights)) for text in texts]


def _words(text: str) -> list[str]:
    return words(text.lower())


def _weights(texts: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return the inverse document frequency of each word."""
    frequencies = Counter(word for text in texts for word in set(text))
    return {word: math.log((1 + len(texts)) / (1 + count)) + 1 for word, count in frequencies.items()}


def _vector(text: Sequence[str], weights: Mapping[str, float]) -> dict[str, float]:
    return {word: count * weights[word] for word, count in Counter(text).items() if word in weights}


def _cosine(a: Vector, b: Vector) -> float:
    norms = math.sqrt(sum(v * v for v in a.values()) * sum(v * v for v in b.values()))
    return sum(value * b.get(word, 0.0) for word, value in a.items()) / norms if norms else 0.0
