"""The user's own dialogues from a table in CSV, TSV, Excel or Parquet format, with a turn per row.

The columns `dialogue_id`, `topic`, `speaker` and `text` may be in any order, and may have other names, set by the
option `columns`; other columns are ignored. The rows of a dialogue are consecutive, in the order of its turns. Its id
and topic may be given only in its first row. The columns are texts, or (except for `text`) integers.

The delimiter of a text file is detected from its first line: a comma, a semicolon (written by Excel in many countries),
a tab or a bar. The encoding is UTF-8, or UTF-16 with a byte order mark, unless set by the option `encoding`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, Literal, NamedTuple, Unpack

from annotated_types import MinLen

from metadialog.datasets.base import BaseDataset
from metadialog.datasets.cleaning import CleaningOptions
from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.datasets.language import check_language
from metadialog.datasets.local import expand
from metadialog.datasets.rows import ENDINGS, Rows, check_encoding, open_rows
from metadialog.errors import DataError
from metadialog.unpacked import MAX_RATIO, MaxRatio

Column = Literal["dialogue_id", "topic", "speaker", "text"]
COLUMNS: tuple[Column, ...] = ("dialogue_id", "topic", "speaker", "text")
Columns = dict[Column, Annotated[str, MinLen(1)] | None]

# Alternative names of a column, used if no name is set and exactly one of them exists.
SYNONYMS: Mapping[Column, tuple[str, ...]] = {
    "dialogue_id": (
        *("dialog_id", "conversation_id", "conv_id", "chat_id", "thread_id", "session_id", "ticket_id", "dialogue"),
        *("dialog", "conversation", "chat", "thread", "session", "ticket", "id", "编号", "对话"),
    ),
    "topic": ("category", "domain", "subject", "intent", "label", "theme", "thema", "主题", "话题"),
    "speaker": ("sender", "author", "from", "role", "who", "name", "user", "agent", "sprecher", "发言人", "说话人"),
    "text": ("message", "utterance", "content", "body", "turn", "nachricht", "内容", "消息", "文本"),
}


class _Row(NamedTuple):
    where: str
    dialogue_id: str
    topic: str
    speaker: str
    text: str


@dataclass(frozen=True, slots=True)
class TableOptions:
    """Options of reading a table; see `conf/dataset/table.yaml`."""

    columns: Columns
    encoding: str | None
    quotes: bool
    sheet: str | None
    max_ratio: int


class TableDataset(BaseDataset):
    """Dialogues of a table in the format above; the data set is named after the file."""

    def __init__(
        self,
        *,
        path: Annotated[str, MinLen(1)],
        language: str,
        columns: Columns | None = None,
        encoding: Annotated[str, MinLen(1)] | None = None,
        quotes: bool = True,
        sheet: Annotated[str, MinLen(1)] | None = None,
        max_ratio: MaxRatio = MAX_RATIO,
        **cleaning: Unpack[CleaningOptions],
    ) -> None:
        """Set the file, its language and its columns; it is opened when the dialogues are read.

        Raises:
            ConfigError: the path begins with `~user`, and there is no such home folder; or the language or
                the encoding does not exist.
        """
        super().__init__(**cleaning)
        self._path = expand(path, "dataset.path")
        self.language = check_language(language)
        self._options = TableOptions(columns or {}, check_encoding(encoding), quotes, sheet, max_ratio)
        self.name = self._path.stem

    def dialogues(self) -> Iterator[Dialogue]:
        """Read the dialogues in the order of the file.

        Raises:
            DataError: the file is missing or malformed; the message names it, the line (of a text file) or row, and
                the remedy.
        """
        if self._path.suffix.lower() not in ENDINGS:
            raise DataError(f"{self._path}: its format is not known; dataset.path should end in {', '.join(ENDINGS)}")
        options = self._options
        try:
            with open_rows(
                self._path, options.encoding, options.sheet, quotes=options.quotes, max_ratio=options.max_ratio
            ) as rows:
                yield from dialogues_of(rows, options.columns, str(self._path))
        except OSError as error:
            problem = " ".join(str(error.strerror or error).split())  # those of Parquet have several lines
            raise DataError(f"{self._path}: cannot be read: {problem}; dataset.path should name a table") from error


def dialogues_of(
    rows: Rows, columns: Columns, path: str, topic: str | None = None, *, one_topic: bool = False
) -> Iterator[Dialogue]:
    """Yield the dialogues of a table.

    Args:
        rows: of the table.
        columns: names of its columns, unless they are those of `COLUMNS` or `SYNONYMS`.
        path: of the table, for messages.
        topic: topic of dialogues without one; None if each must have one.
        one_topic: whether this is the topic of all dialogues, regardless of columns.

    Raises:
        DataError: a column is missing, or a row is malformed.
    """
    positions = find_columns(rows.header, columns, f"{path}:1" if rows.has_lines else path, topic, one_topic=one_topic)
    seen: dict[str, str] = {}
    for identifier, group in groupby(_filled(rows, positions, topic), key=lambda row: row.dialogue_id):
        members = list(group)
        if identifier in seen:
            raise DataError(
                f"{members[0].where}: dialogue {identifier!r} began at {seen[identifier]} and had ended; the rows "
                f"of a dialogue should be consecutive: sort the table by that column"
            )
        seen[identifier] = members[0].where.rpartition(":")[2]
        yield _dialogue(members)
    if not seen:
        raise DataError(f"{path}:1: holds no dialogue; it should have a row for each turn")


def find_columns(
    header: Sequence[str], columns: Columns, where: str, topic: str | None = None, *, one_topic: bool = False
) -> dict[Column, int]:
    """Return the position of each column; that of the topic is optional if there is a default topic.

    Args:
        header: names of the columns of a table.
        columns: names that are not in `COLUMNS` or `SYNONYMS`.
        where: file and line of the header, for messages.
        topic: topic of dialogues without one; None if each must have one.
        one_topic: whether this is the topic of all dialogues, regardless of columns.

    Raises:
        DataError: one is missing or occurs several times.
    """
    wanted = list(COLUMNS)
    unnamed = topic is not None and columns.get("topic") is None
    if unnamed and (one_topic or not _candidates(header, "topic")):
        wanted.remove("topic")
    wanted.sort(key=lambda column: columns.get(column) is None)  # wrong names that were set are reported first
    return {column: _position(header, column, columns.get(column), where) for column in wanted}


def _candidates(header: Sequence[str], column: Column) -> list[str]:
    """Return the names of a header that may be those of a column."""
    return [name for name in header if _folded(name) in (column, *SYNONYMS[column])]


def _folded(name: str) -> str:
    return name.strip().casefold().replace(" ", "_")


def _position(header: Sequence[str], column: Column, named: str | None, where: str) -> int:
    wanted = named or column
    if header.count(wanted) > 1:
        raise DataError(f"{where}: has more than one column {wanted!r}; it should have one")
    if wanted in header:
        return header.index(wanted)
    lower = [_folded(name) for name in header]
    names = (wanted.casefold(),) if named else (column, *SYNONYMS[column])
    for name in names:
        if lower.count(name) == 1:
            return lower.index(name)
    if not any(header):
        raise DataError(
            f"{where}: is empty; it should begin with the columns {', '.join(COLUMNS)}, and have a row a turn"
        )
    there = f": it has {', '.join(map(repr, header[:12]))}"
    raise DataError(
        f"{where}: has no column {wanted!r}; it should have the columns {', '.join(COLUMNS)}, or dataset.columns "
        f"should say what they are called, such as dataset.columns.{column}=NAME{there}"
    )


def _filled(rows: Rows, positions: Mapping[Column, int], topic: str | None) -> Iterator[_Row]:
    """Yield the rows, each with the id and the topic of its dialogue, which may stand in the first row alone.

    Args:
        rows: of the table.
        positions: of its columns.
        topic: topic of dialogues without one; None if each must have one.
    """
    before: _Row | None = None
    speakers: set[str] = set()
    for where, values in rows:
        given: dict[Column, object] = {column: values[position] for column, position in positions.items()}
        given.setdefault("topic", topic)
        if before is not None and _is_blank(given["dialogue_id"]):
            given["dialogue_id"] = before.dialogue_id
        if before is not None and _is_blank(given["topic"]) and str(given["dialogue_id"]).strip() == before.dialogue_id:
            given["topic"] = before.topic
        if topic is not None and _is_blank(given["topic"]):
            given["topic"] = topic
        row = _row(where, given)
        rows.check_quotes(values, where, positions.get("topic"), row.topic, positions["speaker"], speakers)
        speakers.add(row.speaker)
        before = row
        yield row


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _row(where: str, values: Mapping[Column, object]) -> _Row:
    texts = []
    for name in COLUMNS:
        value = values[name]
        if isinstance(value, float) and value.is_integer():  # as Excel has whole numbers
            value = int(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            texts.append(str(value))
        elif isinstance(value, str) and (value.strip() or name == "text"):
            texts.append(value if name == "text" else " ".join(value.split()))
        elif value is None and name == "text":
            texts.append("")
        else:
            raise DataError(f"{where}: {name} is {value!r:.40}; it should be a text that is not empty")
    return _Row(where, *texts)


def _dialogue(rows: Sequence[_Row]) -> Dialogue:
    first = rows[0]
    for row in rows:
        if row.topic != first.topic:
            raise DataError(
                f"{row.where}: dialogue {row.dialogue_id!r} has the topic {row.topic!r}, but {first.topic!r} before; "
                f"a dialogue should have one topic"
            )
    return Dialogue(first.topic, tuple(Turn(row.speaker, row.text) for row in rows), first.dialogue_id)
