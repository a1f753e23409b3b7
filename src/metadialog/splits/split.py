"""The interface of splits."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

Part = Literal["meta-train", "meta-validation", "meta-test", "dropped", "unused"]


@dataclass(frozen=True, slots=True)
class TopicSplit:
    """The topics of each part; no topic is in two.

    Attributes:
        train: topics for meta-training.
        validation: topics for the choice of checkpoints and hyperparameters.
        test: topics for which results are reported.
        dropped: topics with too few dialogues, with their numbers of dialogues.
        unused: topics that were left out on purpose.

    Raises:
        ValueError: a topic occurs twice.
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
            raise ValueError(f"topics occur twice in the split: {', '.join(twice)}")

    def part(self, topic: str) -> Part:
        """Return the part that a topic belongs to.

        Raises:
            KeyError: the topic is not in the split.
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
    """Interface of the classes that `conf/split/*.yaml` names.

    Attributes:
        trains: whether it has topics for training and validation.
        min_dialogues: minimum number of dialogues of a topic.
    """

    trains: bool
    min_dialogues: int

    def split(self, sizes: Mapping[str, int], paper: str | None = None) -> TopicSplit:
        """Split the topics.

        Args:
            sizes: number of dialogues of each topic.
            paper: name of the split that papers on this data set use, if any; most splits ignore it.

        Raises:
            ConfigError: the options do not fit the topics.
            DataError: there are too few topics.
        """
        ...


PARTS = 3


def what_can_be_done(sizes: Mapping[str, int]) -> str:
    """Return a hint about options for training or evaluation on few dialogues.

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
    """Return a hint about adapting to, or evaluating on, a topic with this number of dialogues."""
    return (
        f"adapt it with metadialog adapt run=DIR dialogues=FILE, or hold out each dialogue in turn with "
        f"metadialog evaluate run=DIR split=all_held_out split.min_dialogues={dialogues} evaluation.leave_one_out=true "
        f"evaluation.queries=1 evaluation.episodes_per_topic=1 evaluation.shots=[{dialogues - 1}] "
        f"and the same options of dataset"
    )
