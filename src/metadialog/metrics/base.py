"""The interface of additional reply metrics."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

from metadialog.options import Options


class ReplyMetric(Options, ABC):
    """A metric of generated replies, in addition to those of `ReplyQuality`.

    It is named in `evaluation.metrics`, has a column in the records, and can be used by name in `metadialog table` and
    `metadialog.compare`.

    Attributes:
        better: whether higher or lower is better; None if neither is, so that there is no best value and no test.
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
            replies: replies of the model; may be empty texts.
            references: reference responses, one for each reply; at least one.
            language: ISO 639 code of the texts.
            topic: of the episode.
        """
