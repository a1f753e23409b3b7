"""EmpatheticDialogues (Rashkin et al. 2019): a speaker tells of a situation, a listener answers, under an emotion.

`train.csv`, `valid.csv` and `test.csv`, a row a turn, with a header:

    conv_id,utterance_idx,context,prompt,speaker_idx,utterance,selfeval,tags

`context` is the emotion. Commas in texts are written `_comma_`, and quotation marks are literal, so rows are split at
commas rather than parsed as CSV. The rows of a conversation are consecutive.
"""

from collections.abc import Iterator
from importlib.resources.abc import Traversable
from itertools import groupby
from typing import NamedTuple

from metadialog.datasets.base import PublishedDataset
from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.datasets.local import read_lines
from metadialog.errors import DataError
from metadialog.text import counted

PARTS = ("train.csv", "valid.csv", "test.csv")
COLUMNS = ("conv_id", "utterance_idx", "context", "prompt", "speaker_idx", "utterance")
SPEAKERS = ("speaker", "listener")
PUBLICATION = "EmpatheticDialogues, with train.csv, valid.csv and test.csv"


class _Row(NamedTuple):
    where: str
    conversation: str
    emotion: str
    speaker: str
    text: str


class EmpatheticDialoguesDataset(PublishedDataset):
    """Dialogues of a "speaker" and a "listener" about one of 32 emotions, the topic."""

    name = "empathetic"
    publication = PUBLICATION
    source = "empathetic"
    language = "en"

    def dialogues(self) -> Iterator[Dialogue]:
        """Read the files in the order train, valid, test, as far as they exist; the ids are `part/conv_id`.

        Raises:
            DataError: a file is missing or malformed; the message names it and the line.
        """
        files = [file for name in PARTS if (file := self._copy.find(name)) is not None]
        if not files:
            self._copy.need(*PARTS)
        for file in files:
            part = file.name.removesuffix(".csv")
            seen: dict[str, str] = {}
            for conversation, group in groupby(_rows(file), key=lambda row: row.conversation):
                rows = list(group)
                if conversation in seen:
                    raise DataError(
                        f"{rows[0].where}: conversation {conversation!r} began at {seen[conversation]} and had ended; "
                        f"its rows should be consecutive"
                    )
                seen[conversation] = rows[0].where
                numbers = {speaker: number for number, speaker in enumerate(dict.fromkeys(row.speaker for row in rows))}
                turns = tuple(Turn(_name(numbers[row.speaker]), row.text) for row in rows)
                yield Dialogue(rows[0].emotion, turns, f"{part}/{conversation}")


def _name(number: int) -> str:
    return SPEAKERS[number] if number < len(SPEAKERS) else f"speaker {number + 1}"


def _rows(file: Traversable) -> Iterator[_Row]:
    """Yield the rows below the header.

    Raises:
        DataError: a row has too few values, or there is none.
    """
    header, *lines = read_lines(file) or [""]
    if tuple(header.strip().split(",")[: len(COLUMNS)]) != COLUMNS:
        raise DataError(f"{file}:1: is {header[:60]!r}; it should begin with {','.join(COLUMNS)}")
    if not lines:
        raise DataError(f"{file}:1: holds no dialogue; it should have a row for each turn")
    for number, line in enumerate(lines, start=2):
        values = [value.replace("_comma_", ",").strip() for value in line.split(",")]
        if len(values) < len(COLUMNS):
            raise DataError(
                f"{file}:{number}: has {counted(len(values), 'value')}; it should have {len(COLUMNS)} or more"
            )
        conversation, _, emotion, _, speaker, text = values[: len(COLUMNS)]
        if not conversation or not emotion:
            raise DataError(f"{file}:{number}: conv_id or context is empty; both should be texts that are not")
        yield _Row(f"{file}:{number}", conversation, emotion, speaker, text)
