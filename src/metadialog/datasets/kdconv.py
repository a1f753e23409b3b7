"""KdConv (Zhou et al. 2020): Chinese conversations of two people about films, music and travel.

Folders `film`, `music` and `travel`, each with `train.json`, `dev.json` and `test.json`:

    [{"messages": [{"message": "...", "attrs": [...]}, ...], "name": "..."}, ...]
"""

from collections.abc import Iterator
from dataclasses import dataclass

from metadialog.datasets.base import PublishedDataset
from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.datasets.records import Records
from metadialog.errors import DataError

DOMAINS = ("film", "music", "travel")
PARTS = ("train.json", "dev.json", "valid.json", "test.json")
SPEAKERS = ("A", "B")
PUBLICATION = "KdConv, with the folders film, music and travel of train.json, dev.json and test.json"


@dataclass(frozen=True, slots=True)
class _Message:
    message: str


@dataclass(frozen=True, slots=True)
class _Record:
    messages: list[_Message]


class KdConvDataset(PublishedDataset):
    """Dialogues of two people, "A" and "B", under their domain: film, music or travel."""

    name = "kdconv"
    publication = PUBLICATION
    source = "kdconv"
    language = "zh"

    def dialogues(self) -> Iterator[Dialogue]:
        """Read domain after domain, as far as they exist; the ids are `domain/part:number`, from 0.

        Raises:
            DataError: a file is missing or malformed; the message names it and the line or field.
        """
        records = Records(list[_Record])
        folders = [folder for name in DOMAINS if (folder := self._copy.find(name)) is not None and folder.is_dir()]
        if not folders:
            self._copy.need(*DOMAINS)
        for folder in folders:
            files = [folder / name for name in PARTS if (folder / name).is_file()]
            if not files:
                raise DataError(f"{folder}: holds no {', '.join(PARTS)}; dataset.root should name {PUBLICATION}")
            for file in files:
                for number, record in enumerate(records.read(file)):
                    turns = tuple(Turn(SPEAKERS[i % 2], turn.message) for i, turn in enumerate(record.messages))
                    yield Dialogue(folder.name, turns, f"{folder.name}/{file.name.removesuffix('.json')}:{number}")
