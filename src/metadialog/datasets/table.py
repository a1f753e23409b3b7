"""Your own dialogues from a table, in CSV, TSV or Parquet: a row is a turn.

The columns `dialogue_id`, `topic`, `speaker` and `text` have to be there, in any order; others are ignored. The
rows of a dialogue stand together, in the order of its turns, and name one topic. The columns may be texts, or
(but for `text`) whole numbers.
"""

import csv
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from annotated_types import MinLen

from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.datasets.language import check_language
from metadialog.datasets.local import expand
from metadialog.errors import DataError

COLUMNS = ("dialogue_id", "topic", "speaker", "text")
DELIMITERS = {".csv": ",", ".tsv": "\t"}
PARQUET = ".parquet"

_BATCH = 10_000  # rows


class _Row(NamedTuple):
    where: str
    dialogue_id: str
    topic: str
    speaker: str
    text: str


class TableDataset:
    """Dialogues of one table, after which the data set is called; the module's docstring describes it."""

    paper_split: str | None = None

    def __init__(self, *, path: Annotated[str, MinLen(1)], language: str) -> None:
        """Name the file and its language; it is opened when the dialogues are read.

        Raises:
            ConfigError: the path begins with the home of a user who has none; the language is no code.
        """
        self._path = expand(path, "dataset.path")
        self.language = check_language(language)
        self.name = self._path.stem

    def dialogues(self) -> Iterator[Dialogue]:
        """Read the dialogues in the order of the file.

        Raises:
            DataError: the file is missing or malformed; the message names it, the line (of a CSV or TSV file) or
                row (of a Parquet file), and the remedy.
        """
        seen: dict[str, str] = {}
        for identifier, group in groupby(self._rows(), key=lambda row: row.dialogue_id):
            rows = list(group)
            if identifier in seen:
                raise DataError(
                    f"{rows[0].where}: dialogue {identifier!r} began at {seen[identifier]} and was over; the rows "
                    f"of a dialogue should stand together"
                )
            seen[identifier] = rows[0].where.rpartition(":")[2]
            yield _dialogue(rows)
        if not seen:
            raise DataError(f"{self._path}:1: holds no dialogue; it should have a row for each turn")

    def _rows(self) -> Iterator[_Row]:
        if self._path.suffix.lower() not in (*DELIMITERS, PARQUET):
            endings = ", ".join((*DELIMITERS, PARQUET))
            raise DataError(f"{self._path}: its format is not known; dataset.path should end in {endings}")
        read = _read_parquet if self._path.suffix.lower() == PARQUET else _read_text
        try:
            for where, values in read(self._path):
                yield _row(where, values)
        except OSError as error:
            problem = " ".join(str(error.strerror or error).split())  # Parquet's are of several lines
            raise DataError(f"{self._path}: cannot be read: {problem}; dataset.path should name a table") from error


def _read_text(path: Path) -> Iterator[tuple[str, Sequence[object]]]:
    """Yield the rows of a CSV or TSV file below its header: where each ends, and its values of `COLUMNS`."""
    with path.open("rb") as file:
        reader = csv.reader(_decoded(path, file), delimiter=DELIMITERS[path.suffix.lower()], strict=True)
        try:
            header = next(reader, [])
            places = _places([name.strip() for name in header], f"{path}:1")
            for row in reader:
                where = f"{path}:{reader.line_num}"
                if row and len(row) != len(header):
                    raise DataError(f"{where}: has {len(row)} values; it should have {len(header)}, as the header has")
                if row:
                    yield where, [row[place] for place in places]
        except csv.Error as error:
            problem = str(error)
            raise DataError(f'{path}:{reader.line_num}: not valid CSV: {problem}; quote texts with ""') from error


def _decoded(path: Path, lines: Iterator[bytes]) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}:{number}: byte {error.start + 1} of the line is not UTF-8; save the file as UTF-8"
            ) from error


def _read_parquet(path: Path) -> Iterator[tuple[str, Sequence[object]]]:
    """Yield the rows of a Parquet file: where each is, and its values of `COLUMNS`."""
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            _places(file.schema_arrow.names, f"{path}")
            for batch in file.iter_batches(_BATCH, columns=list(COLUMNS)):
                for values in zip(*(batch.column(name).to_pylist() for name in COLUMNS), strict=True):
                    number += 1
                    yield f"{path}:{number}", values
    except (pa.ArrowException, UnicodeDecodeError) as error:
        problem = " ".join(str(error).split())
        raise DataError(f"{path}: not readable from row {number + 1} on: {problem}; it should be Parquet") from error


def _places(names: Sequence[str], where: str) -> list[int]:
    for name in COLUMNS:
        if list(names).count(name) != 1:
            raise DataError(
                f"{where}: has {'no' if name not in names else 'more than one'} column {name!r}; "
                f"it should have the columns {', '.join(COLUMNS)}"
            )
    return [list(names).index(name) for name in COLUMNS]


def _row(where: str, values: Sequence[object]) -> _Row:
    texts = []
    for name, value in zip(COLUMNS, values, strict=True):
        if isinstance(value, int) and not isinstance(value, bool) and name != "text":
            texts.append(str(value))
        elif isinstance(value, str) and (value.strip() or name == "text"):
            texts.append(value if name == "text" else " ".join(value.split()))
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
