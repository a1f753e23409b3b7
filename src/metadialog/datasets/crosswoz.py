"""CrossWOZ (Zhu et al. 2020): Chinese dialogues of a user and a system about sights, restaurants, hotels and travel.

`train.json`, `val.json` and `test.json`, plain or each in a zip file:

    {"11290": {"type": "...", "goal": [[1, "餐馆", "推荐菜", [...], false], ...],
               "messages": [{"content": "...", "role": "usr", ...}, ...]}, ...}
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Any

from metadialog.datasets.base import SEVERAL_DOMAINS, DomainsDataset
from metadialog.datasets.dialogue import Dialogue, LeftOut, Turn
from metadialog.datasets.local import inside
from metadialog.datasets.records import Records
from metadialog.errors import DataError

PARTS = ("train.json", "val.json", "test.json")
SPEAKERS = {"usr": "user", "sys": "system"}
PUBLICATION = "CrossWOZ, with train.json, val.json and test.json, or a zip file of each"


@dataclass(frozen=True, slots=True)
class _Message:
    content: str
    role: str


@dataclass(frozen=True, slots=True)
class _Record:
    messages: list[_Message]
    goal: list[list[Any]]


class CrossWozDataset(DomainsDataset):
    """Dialogues of a user ("user") and a system ("system"), under the domain of their goal, such as 酒店.

    With `multi_domain`, dialogues of several domains are included, with all domains as the topic, such as `景点+酒店`.
    """

    name = "crosswoz"
    publication = PUBLICATION
    source = "crosswoz"
    language = "zh"

    def read(self) -> Iterator[Dialogue | LeftOut]:
        """Read the files in the order train, val, test, as far as they exist; the ids are `part:key`.

        Raises:
            DataError: a file is missing or malformed; the message names it and the line or field.
        """
        files = [file for name in PARTS if (file := self._copy.find(name, f"{name}.zip")) is not None]
        if not files:
            self._copy.need(*PARTS)
        records = Records(dict[str, _Record])
        for file in files:
            opened = inside(file) / file.name.removesuffix(".zip") if file.name.endswith(".zip") else file
            part = opened.name.removesuffix(".json")
            for key, record in records.read(opened).items():
                domains = _domains(record, f"{opened}: {key}")
                if len(domains) > 1 and not self._multi_domain:
                    yield LeftOut(SEVERAL_DOMAINS)
                else:
                    yield Dialogue("+".join(domains), _turns(record, opened, key), f"{part}:{key}")


def _domains(record: _Record, where: str) -> list[str]:
    """Return the domains of a goal, sorted.

    Raises:
        DataError: there is none.
    """
    domains = {str(entry[1]) for entry in record.goal if len(entry) > 1}
    if not domains:
        raise DataError(f"{where}.goal names no domain; it should be a list such as [[1, '酒店', '名称', '', false]]")
    return sorted(domains)


def _turns(record: _Record, file: Traversable, key: str) -> tuple[Turn, ...]:
    for index, message in enumerate(record.messages):
        if message.role not in SPEAKERS:
            raise DataError(f"{file}: {key}.messages[{index}].role is {message.role!r}; it should be usr or sys")
    return tuple(Turn(SPEAKERS[message.role], message.content) for message in record.messages)
