"""Taskmaster-1 to Taskmaster-4 (Byrne et al. 2019, 2020, 2021).

- TM-1: `self-dialogs.json` and `woz-dialogs.json`; TM-2: `data/flights.json`, `data/hotels.json` and so on; TM-3 and
  TM-4: `data/data_00.json` and so on. Each is
  `[{"conversation_id": "...", "instruction_id": "restaurant-table-2", "vertical": "Coffee", "scenario": "...",
  "utterances": [{"index": 0, "speaker": "USER", "text": "...", "segments": [...]}, ...]}, ...]`
- The vertical is the instruction without its number in TM-1 (`restaurant-table`), the file in TM-2 (`flights`), and
  what `vertical` says in TM-3 and TM-4, whose instructions are called by `scenario`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Literal, Unpack

from metadialog.datasets.base import BaseDataset
from metadialog.datasets.cleaning import CleaningOptions
from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.datasets.local import LocalCopy, Root, listing
from metadialog.datasets.records import Records
from metadialog.errors import DataError

FIRST = ("self-dialogs.json", "woz-dialogs.json")
SPEAKERS = {"USER": "user", "ASSISTANT": "assistant"}
PUBLICATION = "Taskmaster: TM-1-2019 with self-dialogs.json and woz-dialogs.json, or TM-2-2020 with data/*.json"
LATER = "Taskmaster: TM-3-2020 or TM-4, with data_*.json"
# Six verticals are published in TM-1; some of their instructions have other names.
SAME = {"movie-ticket": "movie-tickets", "movie-finder": "movie-tickets", "auto-repair-appt": "auto-repair"}
SOURCES = {"tm1": "taskmaster-1", "tm2": "taskmaster-2", "tm3": "taskmaster-3", "tm4": "taskmaster-4"}

_NUMBER = re.compile(r"-\d+$")


@dataclass(frozen=True, slots=True)
class _Utterance:
    speaker: str
    text: str


@dataclass(frozen=True, slots=True)
class _Record:
    conversation_id: str
    utterances: list[_Utterance]
    instruction_id: str | None = None
    vertical: str | None = None
    scenario: str | None = None


class TaskmasterDataset(BaseDataset):
    """Dialogues of a user ("user") and an assistant ("assistant"), under the vertical that they are about."""

    language = "en"

    def __init__(
        self,
        *,
        root: Root | None,
        release: Literal["tm1", "tm2", "tm3", "tm4"],
        topic: Literal["vertical", "scenario"] = "vertical",
        **cleaning: Unpack[CleaningOptions],
    ) -> None:
        """Set the local copy, the release, and what a topic is.

        Raises:
            ConfigError: the root begins with `~user`, and there is no such home folder.
        """
        super().__init__(**cleaning)
        self.source = SOURCES[release]
        self._copy = LocalCopy(root, PUBLICATION if release in ("tm1", "tm2") else LATER)
        self._release = release
        self._topic = topic
        self.name = f"taskmaster-{release}"

    def dialogues(self) -> Iterator[Dialogue]:
        """Read file after file, by name; the ids are `file:conversation_id`.

        Raises:
            DataError: a file is missing or malformed; the message names it and the line or field.
        """
        records = Records(list[_Record])
        for file in self._files():
            stem = file.name.removesuffix(".json")
            for index, record in enumerate(records.read(file)):
                where = f"{file}: [{index}]"
                turns = (Turn(_speaker(turn, where, i), turn.text) for i, turn in enumerate(record.utterances))
                topic = self._topic_of(record, stem, where)
                yield Dialogue(" ".join(topic.split()), tuple(turns), f"{stem}:{record.conversation_id}")

    def _topic_of(self, record: _Record, stem: str, where: str) -> str:
        """Return the topic of a dialogue.

        Raises:
            DataError: its key is missing or empty.
        """
        later = self._release in ("tm3", "tm4")
        if self._topic == "vertical" and self._release == "tm2":
            return stem
        key = ("vertical" if self._topic == "vertical" else "scenario") if later else "instruction_id"
        value = getattr(record, key)
        vertical = _NUMBER.sub("", value or "") if key == "instruction_id" else value or ""
        if not vertical.strip():
            raise DataError(f"{where}.{key} is {'missing' if value is None else 'empty'}; it should say the topic")
        if self._topic == "scenario":
            return str(value)
        return SAME.get(vertical, vertical) if self._release == "tm1" else vertical

    def _files(self) -> list[Traversable]:
        """Return the files of the release.

        Raises:
            DataError: there are none.
        """
        if self._release == "tm1":
            results = [file for name in FIRST if (file := self._copy.find(name)) is not None]
            return results or [self._copy.need(*FIRST)]
        folder = self._copy.need("data") if self._release == "tm2" else self._later_folder()
        files = [file for file in listing(folder) if file.name.endswith(".json")]
        if not files:
            raise DataError(f"{folder}: holds no *.json; dataset.root should name a copy of {PUBLICATION}")
        return files if self._release == "tm2" else list(_parts(folder))

    def _later_folder(self) -> Traversable:
        """Return the folder of TM-3 or TM-4 that holds `data_*.json`.

        Raises:
            DataError: there is none.
        """
        tops = list(self._copy.folders())
        folders = [folder for top in tops for folder in (top, top / "data") if folder.is_dir() and any(_parts(folder))]
        number = self._release.removeprefix("tm")
        named = [folder for folder in folders if f"TM-{number}" in str(folder)]
        return (named or folders or [self._copy.need("data_00.json")])[0]


def _parts(folder: Traversable) -> Iterator[Traversable]:
    return (file for file in listing(folder) if file.name.startswith("data_") and file.name.endswith(".json"))


def _speaker(turn: _Utterance, where: str, index: int) -> str:
    try:
        return SPEAKERS[turn.speaker.upper()]
    except KeyError as error:
        raise DataError(
            f"{where}.utterances[{index}].speaker is {turn.speaker!r}; it should be USER or ASSISTANT"
        ) from error
