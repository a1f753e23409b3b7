"""The information in topics about their dialogues, which shows without training whether topics are useful tasks."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metadialog.datasets.dialogues import Dialogues
from metadialog.text import fold, words

SHOTS = 5
EPISODES = 400

_WEIGHTS = np.array([0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4])

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TopicGain:
    """The gain in log-likelihood of other dialogues' words from a few dialogues, in nats per word.

    Attributes:
        own: gain from dialogues of the same topic.
        any: gain from as many dialogues of any topics.
        topics: number of topics with enough dialogues.
    """

    own: float
    any: float
    topics: int

    @property
    def topic(self) -> float:
        """The part of the gain that is due to the topic."""
        return self.own - self.any


def topic_gain(topics: Mapping[str, Dialogues], shots: int = SHOTS, episodes: int = EPISODES) -> TopicGain | None:
    """Return how much topics help to predict the words of their dialogues; None if fewer than two are large enough.

    Words are predicted by their frequency in all other dialogues, interpolated with their frequency in `shots`
    dialogues, with the weight that is best for all episodes together (a cache language model; Kuhn and De Mori, "A
    Cache-Based Natural Language Model for Speech Recognition", 1990). The episodes are the same at each call.

    Args:
        topics: dialogues of each topic.
        shots: number of dialogues to interpolate with, and number of dialogues to predict.
        episodes: number of draws.
    """
    enough = sorted(topic for topic, dialogues in topics.items() if len(dialogues) >= 2 * shots)
    if len(enough) < 2:
        return None
    said = _numbered({topic: topics[topic] for topic in enough})
    everything = [dialogue for topic in enough for dialogue in said[topic]]
    counts = np.bincount(np.concatenate(everything))  # [words]
    generator = np.random.default_rng(0)
    losses = np.zeros((2, len(_WEIGHTS)))
    predicted = 0
    for _ in range(episodes):
        drawn = _draw(said[enough[generator.integers(len(enough))]], 2 * shots, generator)
        query, own = np.concatenate(drawn[shots:]), np.concatenate(drawn[:shots])
        other = np.concatenate(_draw(everything, shots, generator))
        rest = np.maximum(counts - sum(_counts(found, len(counts)) for found in (query, own, other)), 0)
        base = (rest[query] + 1) / (rest.sum() + len(counts))  # [words of the query]
        for kind, found in enumerate((own, other)):
            near = _counts(found, len(counts))[query] / max(len(found), 1)
            losses[kind] -= np.log(np.outer(1 - _WEIGHTS, base) + np.outer(_WEIGHTS, near)).sum(axis=1)
        predicted += len(query)
    gains = (losses[:, 0] - losses.min(axis=1)) / max(predicted, 1)
    return TopicGain(float(gains[0]), float(gains[1]), len(enough))


def _numbered(topics: Mapping[str, Dialogues]) -> dict[str, list[Integers]]:
    """Return the words of each dialogue as numbers."""
    numbers: dict[str, int] = {}
    results: dict[str, list[Integers]] = {}
    for topic, dialogues in topics.items():
        results[topic] = []
        for dialogue in dialogues:
            said = [word for turn in dialogue.turns for word in words(fold(turn.text))]
            results[topic].append(np.array([numbers.setdefault(word, len(numbers)) for word in said], np.int64))
    return results


def _counts(found: Integers, size: int) -> Integers:
    return np.bincount(found, minlength=size)


def _draw(dialogues: list[Integers], number: int, generator: np.random.Generator) -> list[Integers]:
    return [dialogues[index] for index in generator.choice(len(dialogues), number, replace=False).tolist()]
