"""Training episodes from topics that are drawn with weights."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Annotated, Any, Literal

from annotated_types import Gt, Le

from metadialog.datasets.dialogue import Dialogue
from metadialog.samplers.base import Sampler
from metadialog.samplers.draws import draw_distinct, draw_weighted
from metadialog.tokenizers.tokenizer import Tokenizer

TopicWeighting = Literal["uniform", "proportional", "temperature"]


class EpisodeSampler(Sampler):
    """Draws a topic, then its support and query dialogues without replacement.

    A topic of n dialogues is drawn with a probability proportional to 1 (`uniform`), to n (`proportional`),
    or to n^(1/T) (`temperature`; T = 1 is proportional, and a large T nearly uniform).

    The same topics, options and seed give the same episodes on every platform and in every Python version.
    """

    def __init__(
        self,
        topics: Mapping[str, Sequence[Dialogue]],
        tokenizer: Tokenizer,
        seed: int,
        *,
        topic_weighting: TopicWeighting,
        temperature: Annotated[float, Gt(0), Le(1e6)],
        **options: Any,
    ) -> None:
        """Initialise the sampler with the meta-train topics; see `conf/sampler/episodes.yaml` for the options.

        Raises:
            DataError: a topic has fewer than `shots + queries` dialogues; the message names it.
        """
        super().__init__(topics, tokenizer, seed, **options)
        self._names = list(self.topics)
        sizes = [len(dialogues) for dialogues in self.topics.values()]
        self._weights = topic_weights(sizes, topic_weighting, temperature)

    def _draw(self, index: int) -> tuple[str, list[int]]:
        generator = Random(f"{self._seed}:{index}")
        topic = self._names[draw_weighted(generator, self._weights)]
        return topic, draw_distinct(generator, len(self.topics[topic]), self.shots + self.queries)


def topic_weights(sizes: Sequence[int], weighting: TopicWeighting, temperature: float) -> list[float]:
    """Return the weights with which topics of these sizes (in dialogues) are drawn."""
    if weighting == "uniform":
        return [1.0] * len(sizes)
    exponent = 1.0 if weighting == "proportional" else 1.0 / temperature
    # Relative to the largest, so that no weight overflows at a low temperature.
    return [(size / max(sizes)) ** exponent for size in sizes]
