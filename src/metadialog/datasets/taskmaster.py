"""Taskmaster-1 and Taskmaster-2 (Byrne et al. 2019, 2020).

- TM-1: `self-dialogs.json` and `woz-dialogs.json`; TM-2: `data/flights.json`, `data/hotels.json` and so on. Each is
  `[{"conversation_id": "...", "instruction_id": "restaurant-table-2", "utterances":
  [{"index": 0, "speaker": "USER", "text": "...", "segments": [...]}, ...]}, ...]`
- The vertical is the instruction without its number in TM-1 (`restaurant-table`), and the file in TM-2 (`flights`).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Literal

from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.datasets.local import LocalCopy, Root, listing
from metadialog.datasets.records import Records
from metadialog.errors import DataError

FIRST = ("self-dialogs.json", "woz-dialogs.json")
SPEAKERS = {"USER": "user", "ASSISTANT": "assistant"}
PUBLICATION = "Taskmaster: TM-1-2019 with self-dialogs.json and woz-dialogs.json, or TM-2-2020 with data/*.json"

_NUMBER = re.compile(r"-\d+$")


@dataclass(frozen=True, slots=True)
class _Utterance:
    speaker: str
    text: str


@dataclass(frozen=True, slots=True)
class _Record:
    conversation_id: str
    instruction_id: str
    utterances: list[_Utterance]


class TaskmasterDataset:
    """Dialogues of a user ("user") and an assistant ("assistant"), under the vertical that they are about."""

    language = "en"
    paper_split: str | None = None

    def __init__(self, *, root: Root | None, release: Literal["tm1", "tm2"]) -> None:
        """Name the local copy and the release.

        Raises:
            ConfigError: the root begins with the home of a user who has none.
        """
        self.source = {"tm1": "taskmaster-1", "tm2": "taskmaster-2"}[release]
        self._copy = LocalCopy(root, PUBLICATION)
        self._release = release
        self.name = f"taskmaster-{release}"

    def dialogues(self) -> Iterator[Dialogue]:
        """Read file after file, by name; the ids are `file:conversation_id`.

        Raises:
            DataError: a file is missing or malformed; the message names it and the place.
        """
        records = Records(list[_Record])
        for file in self._files():
            stem = file.name.removesuffix(".json")
            for place, record in enumerate(records.read(file)):
                where = f"{file}: [{place}]"
                vertical = stem if self._release == "tm2" else _NUMBER.sub("", record.instruction_id)
                if not vertical.strip():
                    raise DataError(f"{where}.instruction_id is empty; it should be such as restaurant-table-2")
                turns = (Turn(_speaker(turn, where, i), turn.text) for i, turn in enumerate(record.utterances))
                yield Dialogue(" ".join(vertical.split()), tuple(turns), f"{stem}:{record.conversation_id}")

    def _files(self) -> list[Traversable]:
        if self._release == "tm1":
            found = [file for name in FIRST if (file := self._copy.find(name)) is not None]
            return found or [self._copy.need(*FIRST)]
        folder = self._copy.need("data")
        files = [file for file in listing(folder) if file.name.endswith(".json")]
        if not files:
            raise DataError(f"{folder}: holds no *.json; dataset.root should name a copy of {PUBLICATION}")
        return files


def _speaker(turn: _Utterance, where: str, place: int) -> str:
    try:
        return SPEAKERS[turn.speaker.upper()]
    except KeyError as error:
        raise DataError(
            f"{where}.utterances[{place}].speaker is {turn.speaker!r}; it should be USER or ASSISTANT"
        ) from error
