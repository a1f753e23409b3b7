"""MetaLWOz (Lee et al. 2019, Li et al. 2020), the data of DSTC8's fast adaptation task.

`metalwoz-v1.zip` (and `dstc8_metalwoz_heldout.zip`, inside `metalwoz-test-v1.zip`) holds

- `dialogues/DOMAIN.txt`: a dialogue a line, the bot first and then user and bot in alternation,
  `{"id": "...", "user_id": "...", "bot_id": "...", "domain": "ALARM_SET", "task_id": "...", "turns": ["...", ...]}`
- `tasks.txt`: a task a line, `{"task_id": "...", "domain": "...", "bot_prompt": "...", "user_prompt": "...", ...}`
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Literal, Unpack

from metadialog.datasets.base import PublishedDataset
from metadialog.datasets.cleaning import CleaningOptions
from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.datasets.local import LocalCopy, Root, inside, listing
from metadialog.datasets.records import Records
from metadialog.errors import DataError

SPEAKERS = ("bot", "user")
PUBLICATION = "MetaLWOz, with dialogues/*.txt and tasks.txt, or with metalwoz-v1.zip"
ARCHIVES = ("metalwoz-v1.zip", "dstc8_metalwoz_heldout.zip")
EVALUATION = "metalwoz-test-v1.zip"
MULTIWOZ = "dstc8_multiwoz2.0.zip"
HELD_OUT = "heldout"


@dataclass(frozen=True, slots=True)
class _Record:
    id: str
    domain: str
    task_id: str
    turns: list[str]


@dataclass(frozen=True, slots=True)
class _Task:
    task_id: str
    domain: str


class MetaLwozDataset(PublishedDataset):
    """Dialogues of two people, one of whom plays a bot ("bot") and begins, the other its user ("user").

    The topic is the domain, such as `ALARM_SET`, or the task with its domain, such as `ALARM_SET 29499a5b`. Those
    of the competition's evaluation (`dstc8_metalwoz_heldout.zip`) have `heldout ` before them.
    """

    name = "metalwoz"
    publication = PUBLICATION
    source = "metalwoz"
    language = "en"

    def __init__(
        self, *, root: Root | None, topic: Literal["domain", "task"], **cleaning: Unpack[CleaningOptions]
    ) -> None:
        """Set the local copy and what a topic is.

        Raises:
            ConfigError: the root begins with `~user`, and there is no such home folder.
        """
        super().__init__(root=root, **cleaning)
        self._topic = topic
        self.paper_split: str | None = f"metalwoz-{topic}"

    def dialogues(self) -> Iterator[Dialogue]:
        """Read all archives and domains, sorted by name.

        Raises:
            DataError: a file is missing or malformed; the message names it and the line.
        """
        seen: dict[str, str] = {}
        for top in _tops(self._copy):
            part = f"{HELD_OUT} " if ARCHIVES[-1].removesuffix(".zip") in str(top) else ""
            for where, dialogue in read_folder(top, self._topic, part):
                if dialogue.id in seen:
                    raise DataError(
                        f"{where}: id {dialogue.id!r} is that of {seen[dialogue.id]}; each should be its own"
                    )
                seen[dialogue.id] = where
                yield dialogue

    def requested(self) -> Iterator[Dialogue]:
        """Read all dialogues, including those of MultiWOZ in the evaluation's archive."""
        yield from self.dialogues()
        result = self._copy.find(MULTIWOZ, EVALUATION)
        if result is not None and result.name == EVALUATION:
            result = inside(result) / MULTIWOZ
        if result is not None and result.is_file():
            yield from (dialogue for _, dialogue in read_folder(inside(result)))


def read_folder(top: Traversable, topic: str = "domain", prefix: str = "") -> Iterator[tuple[str, Dialogue]]:
    """Yield the dialogues of a folder that holds `dialogues` and `tasks.txt`, each with its file and line.

    Args:
        top: the folder, or the inside of an archive.
        topic: `domain` or `task`.
        prefix: prefix of the topics.

    Raises:
        DataError: a file is missing or malformed; the message names it and the line.
    """
    tasks = _tasks(top / "tasks.txt")
    for where, record in _records(top):
        if record.task_id not in tasks:
            raise DataError(f"{where}: task_id {record.task_id!r} is not in tasks.txt; it should be")
        name = prefix + (record.domain if topic == "domain" else f"{record.domain} {record.task_id}")
        yield where, Dialogue(" ".join(name.split()), _turns(record), record.id)


def _records(top: Traversable) -> Iterator[tuple[str, _Record]]:
    """Yield each dialogue of a folder `dialogues`, with its file and line.

    Raises:
        DataError: a file is malformed or empty, or a dialogue without id or domain; or there is no file.
    """
    records = Records(_Record)
    if not (top / "dialogues").is_dir():
        raise DataError(f"{top}: holds no folder dialogues; dataset.root should name a copy of {PUBLICATION}")
    files = [file for file in listing(top / "dialogues") if file.name.endswith(".txt")]
    if not files:
        raise DataError(f"{top / 'dialogues'}: holds no *.txt; dataset.root should name a copy of {PUBLICATION}")
    for file in files:
        number = 0
        for number, record in records.read_lines(file):
            where = f"{file}:{number}"
            for name in ("id", "domain"):
                if not getattr(record, name).strip():
                    raise DataError(f"{where}: {name} is empty; it should be a text that is not")
            yield where, record
        if not number:
            raise DataError(f"{file}:1: holds no dialogue; it should hold one JSON object a line")


def _turns(record: _Record) -> tuple[Turn, ...]:
    """Return the turns of a dialogue; the bot speaks first."""
    return tuple(Turn(SPEAKERS[i % 2], text) for i, text in enumerate(record.turns))


def _tops(copy: LocalCopy) -> list[Traversable]:
    """Return the containers of `dialogues` and `tasks.txt`: folders, zip files, then the one inside the evaluation's.

    Raises:
        DataError: there is none, or a zip file is damaged.
    """
    tops = [folder for folder in copy.folders() if (folder / "dialogues").is_dir()]
    archives = [result for name in ARCHIVES if (result := copy.find(name)) is not None]
    evaluation = copy.find(EVALUATION)
    if evaluation is not None and ARCHIVES[-1] not in {archive.name for archive in archives}:
        archives.append(inside(evaluation) / ARCHIVES[-1])
    tops += [inside(archive) for archive in archives]
    if not tops:
        copy.need("dialogues", *ARCHIVES)
    return tops


def _tasks(file: Traversable) -> set[str]:
    return {task.task_id for _, task in Records(_Task).read_lines(file)}
