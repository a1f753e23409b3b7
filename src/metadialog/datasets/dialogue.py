"""The small typed objects that every data set is read into."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


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
