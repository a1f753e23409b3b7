"""The small typed objects that every data set is read into."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

MIN_TURNS = 2
"""A dialogue of fewer turns has no response to learn."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance."""

    speaker: str
    text: str


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A list of turns about one topic.

    Attributes:
        topic: the label that makes it part of a task.
        turns: the utterances in order.
        id: unique within its data set, and the same on every reading (for example `file:line`).
    """

    topic: str
    turns: tuple[Turn, ...]
    id: str


class Dataset(Protocol):
    """What `conf/dataset/*.yaml` names: files in, dialogues out.

    One that `metadialog data download=true` can bring has the option `root`, the folder of a local copy or None,
    and an attribute `source`, its name in `metadialog/downloads/sources.yaml`. The program puts the downloaded
    copy in the place of `root: null` before it reads.

    Attributes:
        name: what the data set is called in records and messages.
        language: the ISO 639 code of its texts (`en`, `zh`), by which metrics tokenise.
        paper_split: name of the split of its topics that papers use (`metadialog.splits.paper`); None if
            they use none.
    """

    name: str
    language: str
    paper_split: str | None

    def dialogues(self) -> Iterator[Dialogue]:
        """Read the dialogues in a fixed order.

        Raises:
            DataError: a file is missing or malformed; the message names the file and the line.
        """
        ...


Shard = Callable[[], Iterator[Dialogue]]
"""Reads a part of a data set."""


@runtime_checkable
class Sharded(Protocol):
    """A data set whose parts can be read apart from each other, such as one of many files."""

    def shards(self) -> Sequence[Shard]:
        """Return the parts in order; together they read what `dialogues` reads.

        Those that pickle (a `functools.partial` of a method does, if its object does) are read on all cores.

        Raises:
            DataError: as `dialogues` does.
        """
        ...


@runtime_checkable
class FromFiles(Protocol):
    """A data set that reads other files than those that its options `root` and `path` name."""

    def files(self) -> Sequence[Path]:
        """Return all files and folders that it reads: if they change, it is read again."""
        ...
