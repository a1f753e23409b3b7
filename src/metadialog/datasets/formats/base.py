"""The interface of formats, and common functions of their readers."""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.datasets.local import ABOUT, check_size
from metadialog.datasets.rows import decoded
from metadialog.datasets.table import Columns
from metadialog.errors import DataError
from metadialog.unpacked import MAX_RATIO

JSON_LINES = (".jsonl", ".ndjson")

_LOOKED_INTO = 20
"""Maximum number of files of a folder that are searched for a first record."""


@dataclass(frozen=True, slots=True)
class Options:
    """Options of reading files; see `conf/dataset/auto.yaml`.

    Attributes:
        columns: names of columns, or keys of JSON objects.
        encoding: encoding of text files; None for UTF-8, or UTF-16 with a byte order mark.
        gap: number of hours without messages that ends a dialogue in a chat export.
        quotes: whether quotation marks in a CSV file quote values.
        sheet: sheet of an Excel file.
        one_topic: whether all dialogues of a table have the topic of the file, regardless of its columns.
        max_ratio: maximum ratio of the unpacked to the compressed size of a table or zip file.
        left_out: files of a folder that are not read.
    """

    columns: Columns
    encoding: str | None = None
    gap: float = 6.0
    quotes: bool = True
    sheet: str | None = None
    one_topic: bool = False
    max_ratio: int = MAX_RATIO
    left_out: frozenset[Path] = frozenset()


@dataclass(frozen=True, slots=True)
class Format:
    """A format.

    Attributes:
        name: value of the option `format`.
        title: name in messages, such as "a WhatsApp chat".
        detect: tells whether a file or folder has this format.
        read: yields the dialogues of a file or folder.
        endings: endings of the files that it may read.
    """

    name: str
    title: str
    detect: Callable[[Path], bool]
    read: Callable[[Path, Options], Iterator[Dialogue]]
    endings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat."""

    time: datetime
    speaker: str
    text: str


def sessions(messages: Iterable[Message], gap: float) -> Iterator[tuple[Turn, ...]]:
    """Yield the turns of each dialogue of a chat, which ends if no message follows within `gap` hours."""
    turns: list[Turn] = []
    before: datetime | None = None
    for message in messages:
        if before is not None and turns and message.time - before > timedelta(hours=gap):
            yield tuple(turns)
            turns = []
        before = message.time
        if message.text.strip():
            turns.append(Turn(message.speaker, message.text.strip()))
    if turns:
        yield tuple(turns)


def text_lines(path: Path, encoding: str | None) -> list[str]:
    """Return the lines of a text file.

    Raises:
        DataError: it cannot be read, or is in another encoding.
    """
    try:
        with path.open("rb") as file:
            return [line.rstrip("\r\n") for line in decoded(path, file, encoding)]
    except OSError as error:
        problem = error.strerror or error
        raise DataError(f"{path}: cannot be read: {problem}; dataset.path should name a file or folder") from error


def head(path: Path, lines: int = 20) -> list[str]:
    """Return the first lines of a text file; none if it is not text."""
    try:
        with path.open("rb") as file:
            return [line.rstrip("\r\n") for _, line in zip(range(lines), decoded(path, file, None), strict=False)]
    except (OSError, DataError):
        return []


def files_of(path: Path, *endings: str, left_out: Collection[Path] = ()) -> list[Path]:
    """Return a file itself, or the visible files with these endings anywhere in a folder, sorted by name.

    Args:
        path: the file or folder.
        endings: endings of file names.
        left_out: files to leave out.
    """
    if path.is_file():
        return [path] if path.suffix.lower() in endings else []
    return [file for file in visible_files(path) if file.suffix.lower() in endings and file not in left_out]


def visible_files(path: Path) -> list[Path]:
    """Return the files anywhere in a folder, sorted by name, except hidden ones and those about it (`README`)."""
    hidden = (".", "__MACOSX")
    return sorted(
        file
        for file in path.rglob("*")
        if file.stem.lower() not in ABOUT
        and not any(part.startswith(hidden) for part in file.relative_to(path).parts)
        and file.is_file()
    )


def name_in(path: Path, file: Path) -> str:
    """Return the name of a file, relative to the folder that is read, without its ending."""
    return (file.relative_to(path) if path.is_dir() else Path(file.name)).with_suffix("").as_posix()


def topic_of_file(path: Path, file: Path) -> str:
    """Return the topic of dialogues without one: the name of the file's folder, or else of the file."""
    nested = path.is_dir() and file.parent != path
    return " ".join((file.parent.name if nested else file.stem).replace("_", " ").split()) or file.name


def parsed_json(path: Path) -> Any:  # noqa: ANN401 - any JSON value
    """Return the content of a JSON file.

    Raises:
        DataError: it cannot be read, or is not JSON; the message names the line.
    """
    try:
        check_size(path)
        return json.loads(path.read_bytes())  # in UTF-8, UTF-16 or UTF-32, as the first bytes say
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; it should be a JSON file") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start + 1} is not {error.encoding}; save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}:{error.colno}: not valid JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not readable as JSON: {error}") from error


def json_records(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the records of JSON lines, of a JSON array, or a single value, each with its position."""
    lines = [line for line in head(path, 2) if line.strip()]
    if path.suffix.lower() in JSON_LINES or (len(lines) > 1 and _is_json(lines[0]) and _is_json(lines[1])):
        for number, line in enumerate(text_lines(path, None), start=1):
            if line.strip():
                yield f"{path}:{number}", _line(line.removeprefix("\ufeff"), f"{path}:{number}")
        return
    content = parsed_json(path)
    if isinstance(content, list):
        yield from ((f"{path}: [{number}]", record) for number, record in enumerate(content))
    else:
        yield f"{path}", content


def first_record(paths: Sequence[Path], records: Callable[[Path], Iterator[tuple[str, Any]]] = json_records) -> Any:  # noqa: ANN401
    """Return the first record of several JSON files; None if there is none."""
    for path in paths[:_LOOKED_INTO]:
        try:
            return next(record for _, record in records(path))
        except (DataError, StopIteration):
            continue
    return None


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict | list)
    except (ValueError, RecursionError):
        return False


def _line(line: str, where: str) -> Any:  # noqa: ANN401
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not valid JSON: {error}; it should be one object a line") from error


def topic_of(record: Mapping[str, Any], named: str | None, default: str) -> str:
    """Return the topic of a record: the value of the named key or of a common one, otherwise the default.

    Raises:
        ValueError: the named key is missing.
    """
    if named is not None:
        value = record.get(named)
        if not isinstance(value, str | int) or not str(value).strip():
            raise ValueError(f"{named} is {value!r:.40}; it should be the topic, as dataset.columns.topic says")
        return " ".join(str(value).split())
    nested = [value for value in (record, record.get("metadata"), record.get("meta")) if isinstance(value, Mapping)]
    for key in ("topic", "category", "domain", "intent", "label", "subject"):
        for parent in nested:
            value = parent.get(key)
            if isinstance(value, str) and value.strip():
                return " ".join(value.split())
    return default


def no_dialogue(path: Path, title: str) -> DataError:
    """Return the error for a file without dialogues."""
    return DataError(
        f"{path}: holds no dialogue; it was read as {title}; if it is something else, dataset.format says what"
    )


def nonempty(path: Path, title: str, dialogues: Iterator[Dialogue]) -> Iterator[Dialogue]:
    r"""Yield dialogues, of which there should be one at least.

    Raises:
        DataError: there is none; or one holds half of a surrogate pair, which JSON can escape (`\ud83d`), but no UTF-8
            can hold.
    """
    first = next(dialogues, None)
    if first is None:
        raise no_dialogue(path, title)
    for dialogue in chain([first], dialogues):
        texts = (dialogue.topic, dialogue.id, *(text for turn in dialogue.turns for text in (turn.speaker, turn.text)))
        try:
            "".join(texts).encode("utf-8")
        except UnicodeEncodeError as error:
            raise DataError(
                f"{path}: dialogue {dialogue.id!a} holds half of a character; write both halves, or the character"
            ) from error
        yield dialogue
