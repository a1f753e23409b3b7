"""A split with all topics in meta-test, for models that were trained on other data."""

from collections.abc import Mapping
from typing import Annotated

from annotated_types import Ge, Le

from metadialog.errors import DataError
from metadialog.splits.split import TopicSplit, evaluating
from metadialog.text import counted


class AllHeldOutSplit:
    """Puts all topics with enough dialogues into meta-test."""

    trains = False

    def __init__(self, *, min_dialogues: Annotated[int, Ge(1), Le(10**9)]) -> None:
        """Set the minimum number of dialogues of a topic."""
        self.min_dialogues = min_dialogues

    def split(self, sizes: Mapping[str, int], paper: str | None = None) -> TopicSplit:  # noqa: ARG002 - not needed
        """Put every topic with at least `min_dialogues` dialogues into meta-test, and drop the others.

        Args:
            sizes: number of dialogues of each topic.
            paper: not used.

        Raises:
            DataError: no topic has enough dialogues.
        """
        dropped = {topic: sizes[topic] for topic in sorted(sizes) if sizes[topic] < self.min_dialogues}
        if len(dropped) == len(sizes):
            most = max(sizes.values(), default=0)
            raise DataError(
                f"no topic of {len(sizes)} has {counted(self.min_dialogues, 'dialogue')} or more; "
                f"at least one should: lower split.min_dialogues{f'; or {evaluating(most)}' if most > 1 else ''}"
            )
        test = tuple(topic for topic in sorted(sizes) if topic not in dropped)
        return TopicSplit(train=(), validation=(), test=test, dropped=dropped)
