"""The types that every data set is read into."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from metadialog.text import fold

MIN_TURNS = 2
"""Minimum number of turns of a dialogue; with fewer there is no response."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance.

    Attributes:
        speaker: the speaker.
        text: the text.
        reply: whether it is trained and scored as a reply; never for the first turn of a dialogue.
    """

    speaker: str
    text: str
    reply: bool = True


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A list of turns about one topic.

    Attributes:
        topic: topic, which defines the task.
        turns: turns in order.
        id: identifier, unique within the data set and stable between readings (for example `file:line`).
    """

    topic: str
    turns: tuple[Turn, ...]
    id: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A dialogue that the options of a data set leave out, yielded to be counted.

    Attributes:
        reason: the reason in the plural, with the option that keeps it, such as "dialogues of several domains
            (dataset.multi_domain=true keeps them)".
    """

    reason: str


class Dataset(Protocol):
    """Interface of the classes that `conf/dataset/*.yaml` names, which read dialogues.

    A data set that `metadialog data download=true` can download has the option `root`, the folder of a local copy or
    None, and an attribute `source`, its name in `metadialog/downloads/sources.yaml`. `root: null` is replaced by the
    downloaded copy before reading.

    The options `path` and `root` name a file and a folder, which are checked before anything starts. A data set whose
    `path` is something else, such as a name on a hub, has a class attribute `local_options` without it.

    Attributes:
        name: name of the data set in records and messages.
        language: ISO 639 code of the texts (`en`, `zh`), which determines how metrics tokenise.
        paper_split: name of the split that papers use (`metadialog.splits.paper`); None if there is none.
    """

    name: str
    language: str

    @property
    def paper_split(self) -> str | None:
        """Name of the split that papers use."""
        ...

    def dialogues(self) -> Iterator[Dialogue]:
        """Read the dialogues in a fixed order.

        Raises:
            DataError: a file is missing or malformed; the message names the file and the line.
        """
        ...


@runtime_checkable
class Requested(Protocol):
    """A data set with dialogues for test specifications in addition to those for training."""

    def requested(self) -> Iterator[Dialogue]:
        """Read all dialogues that a specification may name."""
        ...


Shard = Callable[[], Iterator[Dialogue | LeftOut]]
"""A function that reads a part of a data set."""


@runtime_checkable
class Reporting(Protocol):
    """A data set that reports the dialogues that its options leave out."""

    def read(self) -> Iterator[Dialogue | LeftOut]:
        """Read the dialogues, and markers for those that are left out."""
        ...


@runtime_checkable
class Sharded(Protocol):
    """A data set whose parts can be read independently, such as its files."""

    def shards(self) -> Sequence[Shard]:
        """Return functions that read the parts, in order.

        Functions that can be pickled (such as a `functools.partial` of a method) are run in parallel.

        Raises:
            DataError: as for `dialogues`.
        """
        ...


@runtime_checkable
class FromFiles(Protocol):
    """A data set that reads files other than those in its options `root` and `path`."""

    def files(self) -> Sequence[Path]:
        """Return all files and folders that it reads; the data set is read again if they change."""
        ...


def duplicate_key(dialogue: Dialogue) -> tuple[str, ...]:
    """Return a key that is equal for duplicates: the texts after NFKC, case folding and folding of white space."""
    return tuple(fold(turn.text) for turn in dialogue.turns)
