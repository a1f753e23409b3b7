"""MultiWOZ 2.0 to 2.4 (Budzianowski et al. 2018, Eric et al. 2020, Zang et al. 2020), in each of its layouts.

- 2.0, 2.1, 2.3, 2.4: `data.json`, or the same in `train.json`, `val.json` and `test.json`, plain or each in a zip file:
  `{"SNG0129.json": {"goal": {"taxi": {...}, "hotel": {}, ...}, "log": [{"text": "...", "metadata": {}}, ...]}, ...}`.
  User and system speak in alternation, the user first. A dialogue is about the domains whose goal is not empty.
- 2.2: folders `train`, `dev` and `test` of `dialogues_*.json`:
  `[{"dialogue_id": "SNG0129.json", "services": ["hotel"], "turns": [{"speaker": "USER", "utterance": "..."}, ...]}]`.
- DSTC8: `dstc8_multiwoz2.0.zip`, inside `metalwoz-test-v1.zip`, in the layout of MetaLWOz.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Any

from metadialog.datasets.base import SEVERAL_DOMAINS, DomainsDataset
from metadialog.datasets.dialogue import Dialogue, LeftOut, Turn
from metadialog.datasets.local import inside, listing
from metadialog.datasets.metalwoz import EVALUATION, MULTIWOZ, read_folder
from metadialog.datasets.records import Records
from metadialog.errors import DataError

DOMAINS = ("attraction", "bus", "hospital", "hotel", "police", "restaurant", "taxi", "train")
NO_DOMAIN = "(no domain)"
SPEAKERS = ("user", "system")
NAMED = {"USER": "user", "SYSTEM": "system"}
WHOLE = "data.json"
PARTS = ("train.json", "val.json", "dev.json", "valid.json", "test.json")
FOLDERS = ("train", "dev", "test")
PUBLICATION = "MultiWOZ, with data.json, with train.json, val.json and test.json, or with folders of dialogues_*.json"


@dataclass(frozen=True, slots=True)
class _Utterance:
    text: str


@dataclass(frozen=True, slots=True)
class _Record:
    goal: dict[str, Any]
    log: list[_Utterance]


@dataclass(frozen=True, slots=True)
class _NamedUtterance:
    speaker: str
    utterance: str


@dataclass(frozen=True, slots=True)
class _NamedRecord:
    dialogue_id: str
    services: list[str]
    turns: list[_NamedUtterance]


class MultiWozDataset(DomainsDataset):
    """Dialogues of a user and a system about a town, under their domain.

    With `multi_domain`, dialogues of several domains are included, with all domains as the topic, such as
    `hotel+train`. A dialogue without any has the topic `(no domain)`.
    """

    name = "multiwoz"
    publication = PUBLICATION
    source = "multiwoz"
    language = "en"

    def read(self) -> Iterator[Dialogue | LeftOut]:
        """Read the dialogues in the order of the files; the ids are the publisher's, without `.json`.

        Raises:
            DataError: a file is missing or malformed; the message names it and the line or field.
        """
        for dialogue in self.requested():
            if self._multi_domain or "+" not in dialogue.topic:
                yield dialogue
            else:
                yield LeftOut(SEVERAL_DOMAINS)

    def requested(self) -> Iterator[Dialogue]:
        """Read all dialogues, including those of several domains, as a test specification may name any."""
        seen: dict[str, str] = {}
        for where, dialogue in self._all():
            if dialogue.id in seen:
                raise DataError(
                    f"{where}: the id {dialogue.id!r} is that of {seen[dialogue.id]}; each should be its own"
                )
            seen[dialogue.id] = where
            yield dialogue

    def _all(self) -> Iterator[tuple[str, Dialogue]]:
        """Yield each dialogue with its position, from the first layout that exists."""
        whole = self._copy.find(WHOLE, f"{WHOLE}.zip")
        if whole is not None:
            yield from _by_goal(_unzipped(whole))
            return
        parts = [
            file for name in PARTS if (file := self._copy.find(name, f"{name}.zip")) is not None and file.is_file()
        ]
        for part in parts:
            yield from _by_goal(_unzipped(part))
        if parts:
            return
        folders = [folder for name in FOLDERS if (folder := self._copy.find(name)) is not None and folder.is_dir()]
        for folder in folders:
            yield from _by_services(folder)
        if folders:
            return
        evaluation = self._copy.find(MULTIWOZ, EVALUATION)
        if evaluation is None:
            self._copy.need(WHOLE, *FOLDERS)
        else:
            archive = inside(evaluation) / MULTIWOZ if evaluation.name == EVALUATION else evaluation
            yield from read_folder(inside(archive))


def _unzipped(file: Traversable) -> Traversable:
    return inside(file) / file.name.removesuffix(".zip") if file.name.endswith(".zip") else file


def _by_goal(file: Traversable) -> Iterator[tuple[str, Dialogue]]:
    records = Records(dict[str, _Record]).read(file)
    if not records:
        raise DataError(f"{file}:1: holds no dialogue; it should hold an object for each")
    for key, record in records.items():
        domains = _domains(record.goal, f"{file}: {key}.goal")
        turns = tuple(Turn(SPEAKERS[i % 2], turn.text) for i, turn in enumerate(record.log))
        yield f"{file}: {key}", Dialogue("+".join(domains) or NO_DOMAIN, turns, key.removesuffix(".json"))


def _domains(goal: dict[str, Any], where: str) -> list[str]:
    """Return the domains whose goal is not empty.

    Raises:
        DataError: the goal of a domain is no object.
    """
    for domain in DOMAINS:
        if not isinstance(goal.get(domain, {}), dict):
            raise DataError(f"{where}.{domain} is {goal[domain]!r:.40}; it should be an object, empty or not")
    return [domain for domain in DOMAINS if goal.get(domain)]


def _by_services(folder: Traversable) -> Iterator[tuple[str, Dialogue]]:
    files = [f for f in listing(folder) if f.name.startswith("dialogues_") and f.name.endswith(".json")]
    if not files:
        raise DataError(f"{folder}: holds no dialogues_*.json; dataset.root should name a copy of {PUBLICATION}")
    records = Records(list[_NamedRecord])
    for file in files:
        for index, record in enumerate(records.read(file)):
            where = f"{file}: [{index}]"
            turns = tuple(Turn(_speaker(turn, where, i), turn.utterance) for i, turn in enumerate(record.turns))
            topic = "+".join(sorted(set(record.services))) or NO_DOMAIN
            yield where, Dialogue(topic, turns, record.dialogue_id.removesuffix(".json"))


def _speaker(turn: _NamedUtterance, where: str, index: int) -> str:
    try:
        return NAMED[turn.speaker]
    except KeyError as error:
        raise DataError(f"{where}.turns[{index}].speaker is {turn.speaker!r}; it should be USER or SYSTEM") from error
