"""MultiWOZ 2.0, 2.1, 2.3 and 2.4 (Budzianowski et al. 2018, Eric et al. 2020), from `data.json`.

    {"SNG0129.json": {"goal": {"taxi": {...}, "hotel": {}, ...}, "log": [{"text": "...", "metadata": {}}, ...]}, ...}

User and system speak in alternation, the user first. A dialogue is about the domains whose goal is not empty.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.datasets.local import LocalCopy, Root
from metadialog.datasets.records import Records
from metadialog.errors import DataError

DOMAINS = ("attraction", "bus", "hospital", "hotel", "police", "restaurant", "taxi", "train")
NO_DOMAIN = "(no domain)"
SPEAKERS = ("user", "system")
PUBLICATION = "MultiWOZ 2.0, 2.1, 2.3 or 2.4, with data.json"


@dataclass(frozen=True, slots=True)
class _Utterance:
    text: str


@dataclass(frozen=True, slots=True)
class _Record:
    goal: dict[str, Any]
    log: list[_Utterance]


class MultiWozDataset:
    """Dialogues of a user and a system about a town, under their domain.

    With `multi_domain` those of several domains are taken as well, with all of them for a topic, such as
    `hotel+train`. A dialogue without any has the topic `(no domain)`.
    """

    name = "multiwoz"
    source = "multiwoz"
    language = "en"
    paper_split: str | None = None

    def __init__(self, *, root: Root | None, multi_domain: bool) -> None:
        """Name the local copy.

        Raises:
            ConfigError: the root begins with the home of a user who has none.
        """
        self._copy = LocalCopy(root, PUBLICATION)
        self._multi_domain = multi_domain

    def dialogues(self) -> Iterator[Dialogue]:
        """Read the dialogues in the order of the file; the ids are its keys.

        Raises:
            DataError: the file is missing or malformed; the message names it and the place.
        """
        file = self._copy.need("data.json")
        records = Records(dict[str, _Record]).read(file)
        if not records:
            raise DataError(f"{file}:1: holds no dialogue; it should hold an object for each")
        for key, record in records.items():
            domains = _domains(record.goal, f"{file}: {key}.goal")
            if len(domains) <= 1 or self._multi_domain:
                turns = tuple(Turn(SPEAKERS[i % 2], turn.text) for i, turn in enumerate(record.log))
                yield Dialogue("+".join(domains) or NO_DOMAIN, turns, key.removesuffix(".json"))


def _domains(goal: dict[str, Any], where: str) -> list[str]:
    """Return the domains whose goal is not empty.

    Raises:
        DataError: the goal of a domain is no object.
    """
    for domain in DOMAINS:
        if not isinstance(goal.get(domain, {}), dict):
            raise DataError(f"{where}.{domain} is {goal[domain]!r:.40}; it should be an object, empty or not")
    return [domain for domain in DOMAINS if goal.get(domain)]
