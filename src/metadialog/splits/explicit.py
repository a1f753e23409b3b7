"""A split by names of topics."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated

from annotated_types import Ge, Le, MinLen

from metadialog.errors import ConfigError
from metadialog.splits.split import TopicSplit

Topics = Annotated[list[str], MinLen(1)]


class ExplicitSplit:
    """A split by three lists of topics; topics in no list are left out."""

    trains = True

    def __init__(
        self, *, train: Topics, validation: Topics, test: Topics, min_dialogues: Annotated[int, Ge(1), Le(10**9)]
    ) -> None:
        """Set the lists.

        Raises:
            ConfigError: a list is empty, or a topic is listed twice.
        """
        self._lists = {"train": train, "validation": validation, "test": test}
        self.min_dialogues = min_dialogues
        seen: dict[str, str] = {}
        for part, topics in self._lists.items():
            if not topics:
                raise ConfigError(f"split.{part}=[]: should name at least one topic")
            for topic in topics:
                if topic in seen:
                    raise ConfigError(f"split.{part}: topic {topic!r} is already in split.{seen[topic]}; list it once")
                seen[topic] = part

    def split(self, sizes: Mapping[str, int], paper: str | None = None) -> TopicSplit:  # noqa: ARG002 - not needed
        """Split the topics by the lists, each part in its list's order.

        Args:
            sizes: number of dialogues of each topic.
            paper: not used.

        Raises:
            ConfigError: a listed topic does not exist, or has fewer than `min_dialogues` dialogues.
        """
        for part, topics in self._lists.items():
            self._check(part, topics, sizes)
        listed = {topic for topics in self._lists.values() for topic in topics}
        return TopicSplit(
            train=tuple(self._lists["train"]),
            validation=tuple(self._lists["validation"]),
            test=tuple(self._lists["test"]),
            unused=tuple(topic for topic in sorted(sizes) if topic not in listed),
        )

    def _check(self, part: str, topics: list[str], sizes: Mapping[str, int]) -> None:
        unknown = [topic for topic in topics if topic not in sizes]
        if unknown:
            names = ", ".join(_with_nearest(topic, sizes) for topic in unknown)
            raise ConfigError(f"split.{part}: no such topic in the data: {names}; topics: {', '.join(sorted(sizes))}")
        small = [f"{topic!r} ({sizes[topic]})" for topic in topics if sizes[topic] < self.min_dialogues]
        if small:
            raise ConfigError(
                f"split.{part}: too few dialogues in {', '.join(small)}; split.min_dialogues requires "
                f"{self.min_dialogues}: lower it, or remove the topic from the list"
            )


def _with_nearest(topic: str, sizes: Mapping[str, int]) -> str:
    close = get_close_matches(topic, sorted(sizes))
    return f"{topic!r} (did you mean {' or '.join(close)}?)" if close else repr(topic)
