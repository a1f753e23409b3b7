"""Schema-Guided Dialogue (Rastogi et al. 2020), as published for DSTC8.

Folders `train`, `dev` and `test`, each with `dialogues_*.json` and `schema.json`:

    [{"dialogue_id": "1_00000", "services": ["Restaurants_1"],
      "turns": [{"speaker": "USER", "utterance": "...", "frames": [...]}, ...]}, ...]

A service is called `Domain_number`. https://github.com/google-research-datasets/dstc8-schema-guided-dialogue
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources.abc import Traversable
from typing import Literal, Unpack

from metadialog.datasets.base import SEVERAL_DOMAINS, DomainsDataset
from metadialog.datasets.cleaning import CleaningOptions
from metadialog.datasets.dialogue import Dialogue, LeftOut, Shard, Turn
from metadialog.datasets.local import Root, listing
from metadialog.datasets.records import Records
from metadialog.errors import DataError

FOLDERS = ("train", "dev", "test")
SPEAKERS = {"USER": "user", "SYSTEM": "system"}
PUBLICATION = "Schema-Guided Dialogue, with the folders train, dev and test of dialogues_*.json"


@dataclass(frozen=True, slots=True)
class _Utterance:
    speaker: str
    utterance: str


@dataclass(frozen=True, slots=True)
class _Record:
    dialogue_id: str
    services: list[str]
    turns: list[_Utterance]


@dataclass(frozen=True, slots=True)
class _Service:
    service_name: str


class SgdDataset(DomainsDataset):
    """Dialogues of the folders `train`, `dev` and `test`, of those that are there.

    The topic of a dialogue of one domain is that domain, such as `Hotels`, or its service, such as `Hotels_2`. With
    `multi_domain`, dialogues of several domains are included, with all domains as the topic, sorted, such as
    `Hotels+Travel`. The speakers are "user" and "system".

    Ids are `folder/dialogue_id`, as the publisher reuses ids in several folders.
    """

    name = "sgd"
    publication = PUBLICATION
    source = "sgd"
    language = "en"

    def __init__(
        self,
        *,
        root: Root | None,
        topic: Literal["domain", "service"],
        multi_domain: bool,
        **cleaning: Unpack[CleaningOptions],
    ) -> None:
        """Set the local copy and what a topic is.

        Raises:
            ConfigError: the root begins with `~user`, and there is no such home folder.
        """
        super().__init__(root=root, multi_domain=multi_domain, **cleaning)
        self._topic = topic
        self.paper_split: str | None = f"sgd-{topic}"

    def read(self) -> Iterator[Dialogue | LeftOut]:
        """Read the folders in the order train, dev, test, and their files by name.

        Raises:
            DataError: a file is missing or malformed; the message names it and the line or field.
        """
        for shard in self.shards():
            yield from shard()

    def shards(self) -> list[Shard]:
        """Return functions that read each file, in the same order.

        Raises:
            DataError: a folder or its schema is missing or malformed.
        """
        return [
            partial(self._read, file, services, folder.name)
            for folder in self._folders()
            for services in [_services(folder / "schema.json")]
            for file in _files(folder)
        ]

    def _read(self, file: Traversable, services: set[str], folder: str) -> Iterator[Dialogue | LeftOut]:
        for index, record in enumerate(_records().read(file)):
            yield self._dialogue(record, services, f"{file}: [{index}]", folder)

    def _folders(self) -> list[Traversable]:
        results = [folder for name in FOLDERS if (folder := self._copy.find(name)) is not None and folder.is_dir()]
        if not results:
            self._copy.need(*FOLDERS)
            raise DataError(f"{self._copy.path}: {FOLDERS[0]} is not a folder; dataset.root should name {PUBLICATION}")
        return results

    def _dialogue(self, record: _Record, services: set[str], where: str, folder: str) -> Dialogue | LeftOut:
        """Return the dialogue of a record, or that it is left out.

        Raises:
            DataError: it names no service, one that the schema has not, or an unknown speaker.
        """
        if not record.services:
            raise DataError(f"{where}.services is empty; it should name at least one service")
        unknown = [service for service in record.services if service not in services]
        if unknown:
            raise DataError(f"{where}.services: {unknown[0]!r} is not in schema.json; it should be a service of it")
        domains = {service.split("_")[0] for service in record.services}
        if len(domains) > 1 and not self._multi_domain:
            return LeftOut(SEVERAL_DOMAINS)
        parts = domains if self._topic == "domain" else set(record.services)
        turns = tuple(Turn(_speaker(turn, where, i), turn.utterance) for i, turn in enumerate(record.turns))
        return Dialogue("+".join(sorted(parts)), turns, f"{folder}/{record.dialogue_id}")


@cache
def _records() -> Records[list[_Record]]:
    return Records(list[_Record])


def _services(schema: Traversable) -> set[str]:
    """Return the services of a folder.

    Raises:
        DataError: the schema is missing or malformed.
    """
    names = (service.service_name for service in Records(list[_Service]).read(schema))
    return {name for name in names if name.split("_")[0].strip()}


def _files(folder: Traversable) -> list[Traversable]:
    files = [f for f in listing(folder) if f.name.startswith("dialogues_") and f.name.endswith(".json")]
    if not files:
        raise DataError(f"{folder}: holds no dialogues_*.json; dataset.root should name a copy of {PUBLICATION}")
    return files


def _speaker(turn: _Utterance, where: str, index: int) -> str:
    try:
        return SPEAKERS[turn.speaker]
    except KeyError as error:
        raise DataError(f"{where}.turns[{index}].speaker is {turn.speaker!r}; it should be USER or SYSTEM") from error
