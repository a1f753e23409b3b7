"""The small typed objects that every data set is read into."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from metadialog.text import fold

MIN_TURNS = 2
"""A dialogue of fewer turns has no response to learn."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance.

    Attributes:
        speaker: who speaks it.
        text: what is said.
        reply: whether it is learned and scored as a reply; the first turn of a dialogue never is.
    """

    speaker: str
    text: str
    reply: bool = True


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


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A dialogue that the options of a data set leave out, so that it can be counted.

    Attributes:
        reason: why, in the plural, with the option that keeps it, such as "dialogues of several domains
            (dataset.multi_domain=true keeps them)".
    """

    reason: str


class Dataset(Protocol):
    """What `conf/dataset/*.yaml` names: files in, dialogues out.

    One that `metadialog data download=true` can bring has the option `root`, the folder of a local copy or None,
    and an attribute `source`, its name in `metadialog/downloads/sources.yaml`. The program puts the downloaded
    copy in the place of `root: null` before it reads.

    The options `path` and `root` name a file and a folder that have to be there before anything starts. One whose
    `path` is something else, such as a name on a hub, has a class attribute `local_options` without it.

    Attributes:
        name: what the data set is called in records and messages.
        language: the ISO 639 code of its texts (`en`, `zh`), by which metrics tokenise.
        paper_split: name of the split of its topics that papers use (`metadialog.splits.paper`); None if
            they use none (an attribute will do).
    """

    name: str
    language: str

    @property
    def paper_split(self) -> str | None:
        """Name of the split of the topics that papers use."""
        ...

    def dialogues(self) -> Iterator[Dialogue]:
        """Read the dialogues in a fixed order.

        Raises:
            DataError: a file is missing or malformed; the message names the file and the line.
        """
        ...


@runtime_checkable
class Requested(Protocol):
    """A data set that holds dialogues for test specifications beside those that it is trained on."""

    def requested(self) -> Iterator[Dialogue]:
        """Read all dialogues that a specification may name."""
        ...


Shard = Callable[[], Iterator[Dialogue | LeftOut]]
"""Reads a part of a data set."""


@runtime_checkable
class Reporting(Protocol):
    """A data set that says which dialogues its options leave out."""

    def read(self) -> Iterator[Dialogue | LeftOut]:
        """Read what `dialogues` reads, and what it leaves out."""
        ...


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


def duplicate_key(dialogue: Dialogue) -> tuple[str, ...]:
    """Return what duplicates share: the turns' texts after NFKC, case folding and folding of white space."""
    return tuple(fold(turn.text) for turn in dialogue.turns)
