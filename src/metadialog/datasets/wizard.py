"""Wizard of Wikipedia (Dinan et al. 2019): a wizard who looks things up and an apprentice talk about a topic.

`train.json`, `valid_random_split.json`, `valid_topic_split.json`, `test_random_split.json` and `test_topic_split.json`,
or all in `data.json`:

    [{"chosen_topic": "Husky", "dialog": [{"speaker": "0_Wizard", "text": "...", ...}, ...], ...}, ...]
"""

from collections.abc import Iterator
from dataclasses import dataclass

from metadialog.datasets.base import PublishedDataset
from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.datasets.records import Records
from metadialog.errors import DataError

PARTS = (
    "train.json",
    "valid_random_split.json",
    "valid_topic_split.json",
    "test_random_split.json",
    "test_topic_split.json",
)
WHOLE = "data.json"
SPEAKERS = {"wizard": "wizard", "apprentice": "apprentice"}
PUBLICATION = "Wizard of Wikipedia, with train.json, valid_random_split.json and so on, or with data.json"


@dataclass(frozen=True, slots=True)
class _Utterance:
    speaker: str
    text: str


@dataclass(frozen=True, slots=True)
class _Record:
    chosen_topic: str
    dialog: list[_Utterance]


class WizardOfWikipediaDataset(PublishedDataset):
    """Dialogues of a "wizard" and an "apprentice", under the topic that they have chosen."""

    name = "wizard"
    publication = PUBLICATION
    source = "wizard"
    language = "en"

    def dialogues(self) -> Iterator[Dialogue]:
        """Read the parts that are there, or else `data.json`; the ids are `file:number`, from 0.

        Raises:
            DataError: a file is missing or malformed; the message names it and the line or field.
        """
        files = [file for name in PARTS if (file := self._copy.find(name)) is not None]
        records = Records(list[_Record])
        for file in files or [self._copy.need(WHOLE, *PARTS)]:
            for number, record in enumerate(records.read(file)):
                where = f"{file}: [{number}]"
                topic = " ".join(record.chosen_topic.split())
                if not topic:
                    raise DataError(f"{where}.chosen_topic is empty; it should be a text that is not")
                turns = tuple(Turn(_speaker(turn, where, i), turn.text) for i, turn in enumerate(record.dialog))
                yield Dialogue(topic, turns, f"{file.name.removesuffix('.json')}:{number}")


def _speaker(turn: _Utterance, where: str, index: int) -> str:
    """Return the role of a speaker such as `0_Wizard`.

    Raises:
        DataError: it is none.
    """
    role = turn.speaker.rpartition("_")[2].lower()
    if role not in SPEAKERS:
        raise DataError(
            f"{where}.dialog[{index}].speaker is {turn.speaker!r}; it should be such as 0_Wizard or 1_Apprentice"
        )
    return SPEAKERS[role]
