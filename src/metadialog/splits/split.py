"""What a split of the topics is, whoever makes it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

Part = Literal["meta-train", "meta-validation", "meta-test", "dropped", "unused"]


@dataclass(frozen=True, slots=True)
class TopicSplit:
    """The topics of each part; no topic is in two.

    Attributes:
        train: topics that are meta-trained on.
        validation: topics that checkpoints and hyperparameters are chosen on.
        test: topics that results are reported on.
        dropped: topics with too few dialogues, each with its number of dialogues.
        unused: topics that were left out by choice.

    Raises:
        ValueError: a topic stands twice.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    dropped: Mapping[str, int] = field(default_factory=dict)
    unused: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        everywhere = Counter((*self.train, *self.validation, *self.test, *self.dropped, *self.unused))
        twice = [topic for topic, count in everywhere.items() if count > 1]
        if twice:
            raise ValueError(f"topics stand twice in the split: {', '.join(twice)}")

    def part(self, topic: str) -> Part:
        """Return the part of the split that a topic belongs to.

        Raises:
            KeyError: the split does not know the topic.
        """
        parts: tuple[tuple[Part, tuple[str, ...] | Mapping[str, int]], ...] = (
            ("meta-train", self.train),
            ("meta-validation", self.validation),
            ("meta-test", self.test),
            ("dropped", self.dropped),
            ("unused", self.unused),
        )
        for part, topics in parts:
            if topic in topics:
                return part
        raise KeyError(topic)


class Split(Protocol):
    """What `conf/split/*.yaml` names: numbers of dialogues by topic in, a split of the topics out.

    Attributes:
        trains: whether it leaves topics to train on, and to validate.
        min_dialogues: dialogues that a topic needs.
    """

    trains: bool
    min_dialogues: int

    def split(self, sizes: Mapping[str, int], paper: str | None = None) -> TopicSplit:
        """Split the topics.

        Args:
            sizes: number of dialogues of each topic.
            paper: name of the split that papers on this data set use, if they do; most splits ignore it.

        Raises:
            ConfigError: the options do not fit the topics.
            DataError: there are too few topics.
        """
        ...


PARTS = 3


def what_can_be_done(sizes: Mapping[str, int]) -> str:
    """Say with which options so few dialogues can be trained or evaluated on.

    Args:
        sizes: number of dialogues of each topic.
    """
    ordered = sorted(sizes.values(), reverse=True)
    if len(ordered) >= PARTS and ordered[PARTS - 1] >= 2:
        least = ordered[PARTS - 1]
        shots = least // 2
        topics = sum(size >= least for size in ordered)
        return (
            f"split.min_dialogues={least} sampler.shots={shots} sampler.queries={least - shots} evaluation.queries="
            f"{least - shots} takes {topics} topics, and split=leave_one_topic_out holds each of them out in turn; or "
            f"add topics"
        )
    if ordered and ordered[0] >= 2:
        other = f"a model trained on other data can be used: {evaluating(ordered[0])}"
        return f"to train takes {PARTS} topics of 2 dialogues or more; {other}"
    return f"to train takes {PARTS} topics of 2 dialogues or more: lower split.min_dialogues, or add topics"


def evaluating(dialogues: int) -> str:
    """Say how a trained model is adapted to, or evaluated on, a topic of so many dialogues."""
    return (
        f"adapt it by metadialog adapt run=DIR dialogues=FILE, or hold each dialogue out in turn by "
        f"metadialog evaluate run=DIR split=all_held_out split.min_dialogues={dialogues} evaluation.leave_one_out=true "
        f"evaluation.queries=1 evaluation.episodes_per_topic=1 evaluation.shots=[{dialogues - 1}] "
        f"with the options of dataset as here"
    )
