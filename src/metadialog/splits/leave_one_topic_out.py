"""A split that holds out one topic, for a run for each topic and one table over all runs."""

import math
from collections.abc import Mapping
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

from metadialog.errors import ConfigError, DataError
from metadialog.splits.split import TopicSplit, what_can_be_done
from metadialog.text import counted

LEAST = 3


class LeaveOneTopicOutSplit:
    """Of the sorted topics with enough dialogues, one is meta-test and the next ones are meta-validation.

    It is meant for data with few topics. Each topic is held out in its own run, by `metadialog train -m
    split=leave_one_topic_out split.held_out=range(0,NUMBER)`, and `metadialog table` combines these runs into one row,
    in which every topic is evaluated with a model that was not trained on it.
    """

    trains = True

    def __init__(
        self,
        *,
        held_out: Annotated[int, Ge(0), Le(10**6)],
        validation: Annotated[float, Gt(0), Lt(1)],
        min_dialogues: Annotated[int, Ge(1), Le(10**9)],
    ) -> None:
        """Set the number of the held-out topic, from 0, and the fraction of topics for meta-validation."""
        self._held_out = held_out
        self._validation = validation
        self.min_dialogues = min_dialogues

    def split(self, sizes: Mapping[str, int], paper: str | None = None) -> TopicSplit:  # noqa: ARG002 - not needed
        """Split the topics with at least `min_dialogues` dialogues; the others are dropped.

        Args:
            sizes: number of dialogues of each topic.
            paper: not used.

        Raises:
            DataError: fewer than three topics have enough dialogues.
            ConfigError: there is no topic of that number, or the fraction leaves none for meta-train.
        """
        topics = [topic for topic in sorted(sizes) if sizes[topic] >= self.min_dialogues]
        if len(topics) < LEAST:
            raise DataError(
                f"topics with {counted(self.min_dialogues, 'dialogue')} or more: {len(topics)} of {len(sizes)}; there "
                f"should be at least {LEAST}: {what_can_be_done(sizes)}"
            )
        if self._held_out >= len(topics):
            raise ConfigError(
                f"split.held_out={self._held_out}: there are {len(topics)} topics, from 0 to {len(topics) - 1}; all of "
                f"them are held out in turn by -m split.held_out=range(0,{len(topics)})"
            )
        following = [*topics[self._held_out + 1 :], *topics[: self._held_out]]
        validations = max(1, math.floor(self._validation * len(topics) + 0.5))
        if validations >= len(following):
            raise ConfigError(
                f"split.validation={self._validation}: of {len(topics)} topics it takes {validations}, and leaves none "
                f"for meta-train; lower it"
            )
        return TopicSplit(
            train=tuple(sorted(following[validations:])),
            validation=tuple(sorted(following[:validations])),
            test=(topics[self._held_out],),
            dropped={topic: sizes[topic] for topic in sorted(sizes) if topic not in topics},
        )
