r"""The user's own dialogues from a JSON Lines file, plain or gzipped.

Each line is one dialogue, a JSON object in UTF-8:

    {"topic": "travel", "turns": [{"speaker": "me", "text": "A room?"}, {"speaker": "desk", "text": "No."}]}
    {"topic": "travel", "turns": ["A room?", "No."], "id": "travel-2"}

- `topic`: a text that is not empty. White space around it does not count, and inside it counts as one space.
- `turns`: a list of objects with the texts `speaker` and `text`, or a list of plain texts, which "user" and
  "bot" speak in alternation; never both kinds in one dialogue.
- `id`: optional, a text that is not empty and differs from those of all other lines; the default is `file:line`.

A file with one JSON array of such objects is also read. Other keys and blank lines are ignored; a byte order mark and
Windows line ends are allowed. Gzip is detected from the first bytes or the ending `.gz`.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from itertools import chain
from typing import Annotated, BinaryIO, Unpack, cast

from annotated_types import MinLen

from metadialog.datasets.base import BaseDataset
from metadialog.datasets.cleaning import CleaningOptions
from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.datasets.language import check_language
from metadialog.datasets.local import check_size, expand, numbered_lines
from metadialog.datasets.seen import Seen
from metadialog.errors import DataError
from metadialog.unpacked import MAX_RATIO, GrowsTooMuchError, MaxRatio, open_gzip

SPEAKERS = ("user", "bot")
LAYOUT = '{"topic": "...", "turns": ["...", "..."]}'

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_GZIP_MAGIC = b"\x1f\x8b"


class JsonlDataset(BaseDataset):
    """Dialogues of a JSON Lines file in the format above; the data set is named after the file."""

    def __init__(
        self,
        *,
        path: Annotated[str, MinLen(1)],
        language: str,
        max_ratio: MaxRatio = MAX_RATIO,
        **cleaning: Unpack[CleaningOptions],
    ) -> None:
        """Set the file and its language; it is opened when the dialogues are read.

        Raises:
            ConfigError: the path begins with `~user`, and there is no such home folder; or the language is not a code.
        """
        super().__init__(**cleaning)
        self._path = expand(path, "dataset.path")
        self.language = check_language(language)
        self._max_ratio = max_ratio
        self.name = self._path.name.removesuffix(".gz").removesuffix(".jsonl")

    def dialogues(self) -> Iterator[Dialogue]:
        """Read the dialogues line by line, in the order of the file.

        Raises:
            DataError: the file is missing or malformed; the message names it, the line and the remedy.
        """
        number = 0
        with Seen() as places_of_ids:
            for number, record in self._records():
                try:
                    dialogue = parse(record, f"{self._path.name}:{number}")
                    first = places_of_ids.first(dialogue.id.encode(), number)
                    if first is not None:
                        raise ValueError(f'"id" {_show(dialogue.id)} is that of line {first}; give each line its own')
                except ValueError as error:
                    raise DataError(f"{self._path}:{number}: {error}") from error
                yield dialogue
        if not number:
            raise DataError(f"{self._path}:1: holds no dialogue; it should hold one a line: {LAYOUT}")

    def _records(self) -> Iterator[tuple[int, bytes | object]]:
        """Yield lines with their numbers, or the elements of a JSON array with theirs, from 1."""
        lines = self._lines()
        first = next(lines, None)
        if first is None:
            return
        if first[1].lstrip().startswith(b"["):
            check_size(self._path)
            array = self._array(b"".join((first[1], *(line for _, line in lines))), first[0])
            yield from enumerate(array, start=1)
            return
        yield from chain([first], lines)

    def _array(self, content: bytes, begins: int) -> list[object]:
        """Return the elements of a JSON array.

        Raises:
            DataError: it is not one.
        """
        try:
            record = json.loads(content.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise DataError(f"{self._path}: byte {error.start + 1} is not UTF-8; save the file as UTF-8") from error
        except json.JSONDecodeError as error:
            raise DataError(
                f"{self._path}:{begins + error.lineno - 1}: not valid JSON at column {error.colno} ({error.msg}); it "
                f"should be one array of objects, or one object a line: {LAYOUT}"
            ) from error
        except (ValueError, RecursionError) as error:
            raise DataError(f"{self._path}:{begins}: not readable as JSON ({error}); it should be {LAYOUT}") from error
        if not isinstance(record, list):
            raise DataError(f"{self._path}:{begins}: is {_kind(record)}; it should be one object a line: {LAYOUT}")
        return record

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield the lines that are not blank with their numbers, from 1."""
        number = 0
        try:
            with self._open() as file:
                for number, line in numbered_lines(file, self._path):
                    content = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
                    if content.strip():
                        yield number, content
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(
                f"{self._path}:{number + 1}: the gzip data are broken from here on ({error}); "
                f"it should be a whole gzip file, or plain text without the ending .gz"
            ) from error
        except GrowsTooMuchError as error:
            raise DataError(
                f"{self._path}:{number + 1}: is not read on: {error}, or raise dataset.max_ratio"
            ) from error
        except OSError as error:
            raise DataError(
                f"{self._path}: cannot be read: {error.strerror}; dataset.path should name a .jsonl or .jsonl.gz file"
            ) from error

    def _open(self) -> BinaryIO:
        with self._path.open("rb") as file:
            zipped = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        if zipped or self._path.suffix == ".gz":
            return cast("BinaryIO", open_gzip(self._path, self._max_ratio))
        return self._path.open("rb")


def parse(line: bytes | object, fallback_id: str) -> Dialogue:
    """Return the dialogue that a line, or an element of an array, holds; `fallback_id` is its id if it has none.

    Raises:
        ValueError: the line is malformed; the message says what is wrong and how to correct it.
    """
    record = _load(line) if isinstance(line, bytes) else _object(line)
    topic = " ".join(_text_of(record, "topic", f"write {LAYOUT}").split())
    turns = record.get("turns")
    if not isinstance(turns, list):
        raise ValueError(f'"turns" {_found(record, "turns")}; it should be a list: write {LAYOUT}')
    if len({type(turn) for turn in turns}) > 1:
        raise ValueError('"turns" mixes kinds; they should be all objects or all texts')
    spoken = tuple(_turn(turn, position) for position, turn in enumerate(turns))
    identifier = _text_of(record, "id", "or leave it out") if "id" in record else fallback_id
    return Dialogue(topic, spoken, identifier)


def _load(line: bytes) -> dict[str, object]:
    try:
        record = json.loads(line.rstrip().decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} of the line is not UTF-8; save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        several = ", not spread over several" if line.strip() in (b"{", b"}") else ""
        raise ValueError(
            f"not valid JSON at column {error.colno} ({error.msg}); it should be one object a line{several}: {LAYOUT}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not readable as JSON ({error}); it should be {LAYOUT}") from error
    return _object(record)


def _object(record: object) -> dict[str, object]:
    if not isinstance(record, dict):
        raise ValueError(f"the line is {_kind(record)}; it should be an object: {LAYOUT}")
    return record


def _turn(turn: object, position: int) -> Turn:
    where = f"turn {position + 1}"
    if isinstance(turn, str):
        return Turn(SPEAKERS[position % 2], _encodable(turn, where))
    if not isinstance(turn, dict):
        raise ValueError(f'{where} is {_kind(turn)}; it should be a text or {{"speaker": "...", "text": "..."}}')
    for key in ("speaker", "text"):
        if not isinstance(turn.get(key), str):
            raise ValueError(f'{where}: "{key}" {_found(turn, key)}; it should be a text')
    speaker = " ".join(_encodable(turn["speaker"], f'{where}: "speaker"').split())
    if not speaker:
        raise ValueError(f'{where}: "speaker" is empty; name who speaks, or write all turns as plain texts')
    return Turn(speaker, _encodable(turn["text"], f'{where}: "text"'))


def _text_of(record: dict[str, object], key: str, remedy: str) -> str:
    value = record.get(key)
    if not isinstance(value, str):
        raise ValueError(f'"{key}" {_found(record, key)}; it should be a text: {remedy}')
    if not value.strip():
        raise ValueError(f'"{key}" is empty; it should be a text that is not: {remedy}')
    return _encodable(value, f'"{key}"')


def _encodable(text: str, where: str) -> str:
    r"""Refuse lone surrogates, which can be escaped in JSON (`\ud83d`) but not encoded in UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        half = f"\\u{ord(text[error.start]):04x}"
        raise ValueError(
            f"{where} holds {half}, half of a character; write the character itself or both halves"
        ) from error
    return text


def _found(record: dict[str, object], key: str) -> str:
    return f"is {_kind(record[key])}" if key in record else "is missing"


def _kind(value: object) -> str:
    if value is None:
        return "null"
    kinds: dict[type, str] = {bool: "a boolean", str: "a text", list: "a list", dict: "an object"}
    return kinds.get(type(value), "a number")


def _show(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
