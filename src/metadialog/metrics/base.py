"""What a metric of replies is that a user brings."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

from metadialog.options import Options


class ReplyMetric(Options, ABC):
    """A metric of generated replies, beside those of `ReplyQuality`.

    `evaluation.metrics` names it. It has a column of its own in the records, and `metadialog table` and
    `metadialog.compare` take it by its name.

    Args:
        better: which way is better; None if neither is: then there is no best, and no test.
    """

    better: Literal["lower", "higher"] | None = None

    def check(self, topics: Sequence[str]) -> None:
        """Refuse what cannot be scored, and load what scoring needs, before training starts; nothing by default.

        Args:
            topics: names of the held-out topics.

        Raises:
            ConfigError: something is missing.
        """

    @abstractmethod
    def score(self, replies: Sequence[str], references: Sequence[str], language: str, topic: str) -> float:
        """Score the replies to the query exchanges of an episode.

        Args:
            replies: what the model said; may be empty texts.
            references: what was said, one for each reply; at least one.
            language: ISO 639 code of the texts.
            topic: of the episode.
        """
