"""Replies that are taken from the support set."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from metadialog.algorithms.baselines import ZeroShot
from metadialog.episodes import Episode
from metadialog.text import words

Vector = Mapping[str, float]


class Retrieval(ZeroShot):
    """The response to the nearest support context, for the metrics of replies (the baseline of DSTC8's track 2).

    The losses and perplexities in its records are those of the joint-trained model, without adaptation: retrieval gives
    no probabilities.
    """

    retrieves = True

    def replies(self, episode: Episode) -> list[str] | None:
        """Return the responses to the nearest support contexts; see `retrieve_replies`."""
        return retrieve_replies(episode)


def retrieve_replies(episode: Episode) -> list[str]:
    """Return, for each query exchange, the response to the support context that is nearest to its own.

    Nearness is the cosine of the contexts' TF-IDF vectors over lower-cased words, with `ln((1 + n) / (1 + df)) + 1`
    for the n support contexts; of equals the first is taken. Without a support set every reply is empty. The retrieval
    baseline of DSTC8's fast domain adaptation task (Lee et al. 2019) does the same with sentence embeddings.
    """
    if not episode.support_exchanges:
        return [""] * len(episode.exchanges)
    contexts = [exchange.context for exchange in episode.support_exchanges]
    replies = []
    for exchange in episode.exchanges:
        near = similarities(exchange.context, contexts)
        replies.append(episode.support_exchanges[near.index(max(near))].response)
    return replies


def similarities(asked: str, contexts: Sequence[str]) -> list[float]:
    """Return how near each of some contexts is to another one: the cosine of their TF-IDF vectors, 0 to 1."""
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
