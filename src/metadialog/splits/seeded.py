"""A random split."""

import math
import random
from collections.abc import Iterable, Mapping
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

from metadialog.errors import ConfigError, DataError
from metadialog.splits.split import PARTS, TopicSplit, what_can_be_done
from metadialog.text import counted


class SeededSplit:
    """A random split by fractions of the number of topics.

    The draw depends only on the seed and on the names of the topics with enough dialogues, not on their order, the
    platform or the Python version.
    """

    trains = True

    def __init__(
        self,
        *,
        seed: Annotated[int, Ge(0), Le(2**63 - 1)],
        validation: Annotated[float, Gt(0), Lt(1)],
        test: Annotated[float, Gt(0), Lt(1)],
        min_dialogues: Annotated[int, Ge(1), Le(10**9)],
    ) -> None:
        """Set the seed and the fractions.

        Raises:
            ConfigError: the fractions leave nothing for meta-train.
        """
        if validation + test >= 1:
            raise ConfigError(
                f"split.validation={validation} and split.test={test}: leave no topic for meta-train; "
                f"together they should be below 1"
            )
        self._seed = seed
        self._validation = validation
        self._test = test
        self.min_dialogues = min_dialogues

    def split(self, sizes: Mapping[str, int], paper: str | None = None) -> TopicSplit:  # noqa: ARG002 - not needed
        """Split the topics with at least `min_dialogues` dialogues; the others are dropped.

        Each held-out part has its fraction of the topics, rounded (halves up), but at least one topic.

        Args:
            sizes: number of dialogues of each topic.
            paper: not used.

        Raises:
            DataError: fewer than three topics have enough dialogues.
            ConfigError: the fractions leave no topic for meta-train.
        """
        dropped = {topic: sizes[topic] for topic in sorted(sizes) if sizes[topic] < self.min_dialogues}
        topics = self._shuffled(topic for topic in sizes if topic not in dropped)
        if len(topics) < PARTS:
            raise DataError(
                f"topics with {counted(self.min_dialogues, 'dialogue')} or more: {len(topics)} of {len(sizes)}; there "
                f"should be at least {PARTS}, one for each part: {what_can_be_done(sizes)}"
            )
        tests = _count(self._test, len(topics))
        validations = _count(self._validation, len(topics))
        if tests + validations >= len(topics):
            raise ConfigError(
                f"split.validation={self._validation} and split.test={self._test}: of {counted(len(topics), 'topic')} "
                f"they take {validations} and {tests}, and leave none for meta-train; lower one of them"
            )
        return TopicSplit(
            train=tuple(sorted(topics[tests + validations :])),
            validation=tuple(sorted(topics[tests : tests + validations])),
            test=tuple(sorted(topics[:tests])),
            dropped=dropped,
        )

    def _shuffled(self, topics: Iterable[str]) -> list[str]:
        # Python guarantees the same numbers from random() in every version, but not the same order from shuffle().
        generator = random.Random(self._seed)
        index = {topic: generator.random() for topic in sorted(topics)}
        return sorted(index, key=lambda topic: index[topic])


def _count(fraction: float, topics: int) -> int:
    return max(1, math.floor(fraction * topics + 0.5))
