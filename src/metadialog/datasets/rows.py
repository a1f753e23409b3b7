"""Rows of tables in CSV, TSV, Excel or Parquet files."""

import codecs
import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, time
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from metadialog.datasets.local import check_size, numbered_lines
from metadialog.errors import ConfigError, DataError
from metadialog.extras import need
from metadialog.text import counted
from metadialog.unpacked import MAX_RATIO, GrowsTooMuchError, check_archive, most_unpacked

TEXT = (".csv", ".tsv", ".txt")
EXCEL = (".xlsx", ".xlsm")
PARQUET = ".parquet"
ENDINGS = (".csv", ".tsv", PARQUET, ".xlsx")

DELIMITERS = (",", ";", "\t", "|")

_TITLE = 20
"""Number of rows of a sheet that are searched for its header."""

_BATCH = 1_000  # rows, as each may repeat a long text that is stored once
_BY_LINE = (
    "utf-8",
    "utf-8-sig",
    "ascii",
    "cp1252",
    "iso8859-1",
    "gb18030",
    "gbk",
    "big5",
    "shift_jis",
    "cp932",
    "euc_kr",
)
_BYTE_ORDER_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class Rows:
    """The rows below the header of a table, with their positions and values."""

    def __init__(
        self,
        header: Sequence[str],
        rows: Iterator[tuple[str, Sequence[object]]],
        delimiter: str | None = None,
    ) -> None:
        """Set the header and the rows; `delimiter` separates the values of a text file."""
        self.header = list(header)
        self.delimiter = delimiter
        self._rows = rows

    @property
    def has_lines(self) -> bool:
        """Whether the table is a text file, whose rows have line numbers."""
        return self.delimiter is not None

    def __iter__(self) -> Iterator[tuple[str, Sequence[object]]]:
        return self._rows

    def check_quotes(
        self,
        values: Sequence[object],
        where: str,
        topic_at: int | None,
        topic: str,
        speaker_at: int,
        speakers: set[str],
    ) -> None:
        """Refuse a value that contains whole rows because of a stray quotation mark.

        Args:
            values: values of a row.
            where: file and line of the row, for messages.
            topic_at: position of the column of topics; None if there is none.
            topic: topic of the row.
            speaker_at: position of the column of speakers.
            speakers: speakers in earlier rows.

        Raises:
            DataError: a line within a value looks like a row of the table, with the same topic or a known speaker.
        """
        if self.delimiter is None:
            return
        for value in values:
            if not isinstance(value, str) or "\n" not in value:
                continue
            for line in value.split("\n")[1:]:
                cells = [cell.strip().strip('"') for cell in line.split(self.delimiter)]
                if len(cells) != len(self.header):
                    continue
                if (topic_at is not None and cells[topic_at] == topic) or cells[speaker_at] in speakers:
                    raise DataError(
                        f"{where}: an earlier quotation mark merges whole rows into one value, such as {line[:40]!r}; "
                        f'write "" for a quotation mark in a text, or dataset.quotes=false if they are literal'
                    )


def check_encoding(encoding: str | None) -> str | None:
    """Return the name of an encoding, if it is one.

    Raises:
        ConfigError: it is not an encoding.
    """
    try:
        return None if encoding is None else codecs.lookup(encoding).name
    except LookupError as error:
        raise ConfigError(
            f"dataset.encoding={encoding}: should be an encoding, such as utf-8, cp1252 or gb18030"
        ) from error


@contextmanager
def open_rows(
    path: Path, encoding: str | None, sheet: str | None, *, quotes: bool, max_ratio: int = MAX_RATIO
) -> Iterator[Rows]:
    """Open a table by the ending of its name.

    Args:
        path: of the file.
        encoding: of a text file; None for UTF-8, or UTF-16 with a byte order mark.
        sheet: of an Excel file; None for the first.
        quotes: whether quotation marks quote values in a text file.
        max_ratio: maximum ratio of the unpacked to the compressed size.

    Raises:
        DataError: it is malformed, or becomes too large (also while its rows are read).
        OSError: it cannot be read.
    """
    ending = path.suffix.lower()
    if ending == PARQUET:
        yield _parquet(path, max_ratio)
    elif ending in EXCEL:
        with _excel(path, sheet, max_ratio) as rows:
            yield rows
    else:
        with path.open("rb") as file:
            yield _text(path, file, encoding, quotes=quotes)


def _text(path: Path, file: BinaryIO, encoding: str | None, *, quotes: bool) -> Rows:
    lines = decoded(path, file, encoding)
    skipped = 0
    delimiter = None
    first = next(lines, "")
    marked = re.fullmatch("sep=(.)", first.rstrip("\r\n"), re.IGNORECASE)  # written by Excel
    if marked:
        delimiter = marked[1]
        skipped, first = 1, next(lines, "")
    delimiter = delimiter or delimiter_of(first, path.suffix.lower())
    whole = chain([first] if first else [], lines)
    reader = csv.reader(
        whole, delimiter=delimiter, strict=True, quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    )

    def rows(header: Sequence[str]) -> Iterator[tuple[str, Sequence[object]]]:
        try:
            for row in reader:
                where = f"{path}:{reader.line_num + skipped}"
                if not any(value.strip() for value in row):
                    continue
                if len(row) != len(header):
                    raise DataError(
                        f"{where}: has {counted(len(row), 'value')}; it should have {len(header)}, as the header has"
                    )
                yield where, row
        except csv.Error as error:
            raise _broken(path, reader.line_num + skipped, error) from error

    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise _broken(path, reader.line_num + skipped, error) from error
    return Rows(header, rows(header), delimiter)


def _broken(path: Path, line: int, error: csv.Error) -> DataError:
    return DataError(
        f'{path}:{line}: not valid CSV: {error}; quote texts with "", or dataset.quotes=false if they are literal'
    )


def decoded(path: Path, file: BinaryIO, encoding: str | None) -> Iterator[str]:
    """Yield the lines of a text file, with their ends.

    Args:
        path: of the file, for messages.
        file: file opened for reading bytes.
        encoding: of the file; None for UTF-8, or UTF-16 with a byte order mark.

    Raises:
        DataError: it is in another encoding; the message names the line.
    """
    start = file.read(2)
    file.seek(0)
    named = encoding or _BYTE_ORDER_MARKS.get(start, "utf-8")
    # In UTF-16 and similar encodings a line end has several bytes, so the file is decoded as a whole.
    if named not in _BY_LINE:
        check_size(path)
    parts = numbered_lines(file, path) if named in _BY_LINE else iter([(1, file.read())])
    for number, part in parts:
        if encoding is None and named == "utf-8" and b"\0" in part:
            raise DataError(
                f"{path}:{number}: holds null bytes, so that it is not UTF-8; name its encoding, such as "
                f"dataset.encoding=utf-16-le, or save it as UTF-8"
            )
        try:
            text = part.decode("utf-8-sig" if named == "utf-8" and number == 1 else named)
        except UnicodeDecodeError as error:
            if named not in _BY_LINE:
                raise DataError(
                    f"{path}: byte {error.start + 1} is not {named}; dataset.encoding should name the file's own"
                ) from error
            raise DataError(
                f"{path}:{number}: byte {error.start + 1} of the line is not {named.upper()}; save the file as UTF-8, "
                f"or name its encoding, such as dataset.encoding=cp1252 or gb18030"
            ) from error
        yield from [text] if named in _BY_LINE else text.removeprefix("\ufeff").splitlines(keepends=True)


def delimiter_of(header: str, ending: str) -> str:
    """Return the delimiter of a header: the most frequent candidate outside of quotation marks."""
    outside = "".join(header.split('"')[::2])
    preferred = "\t" if ending == ".tsv" else ","
    return max((preferred, *DELIMITERS), key=outside.count)


@contextmanager
def _excel(path: Path, sheet: str | None, max_ratio: int) -> Iterator[Rows]:
    need("openpyxl", "excel", f"dataset.path={path}")
    import openpyxl

    with path.open("rb") as file:
        try:
            check_archive(file, max_ratio)
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        except GrowsTooMuchError as error:
            raise _too_large(path, error) from error
        except Exception as error:  # a broken file may raise anything
            problem = " ".join(str(error).split()) or type(error).__name__
            raise DataError(f"{path}: is no readable Excel file: {problem}; save it as .xlsx, or as CSV") from error
        try:
            if sheet is not None and sheet not in book.sheetnames:
                raise DataError(
                    f"{path}: has no sheet {sheet!r}; dataset.sheet should be one of {', '.join(book.sheetnames)}"
                )
            most = most_unpacked(path.stat().st_size, max_ratio)
            filled = (one for one in book.worksheets if _first_row(one) is not None)
            yield _sheet(path, book[sheet] if sheet is not None else next(filled, book.worksheets[0]), most)
        finally:
            book.close()


def _sheet(path: Path, sheet: Any, most: int) -> Rows:  # noqa: ANN401 - a worksheet of openpyxl
    begins = _first_row(sheet) or 1
    values = sheet.iter_rows(min_row=begins, values_only=True)
    header = ["" if value is None else str(value).strip() for value in next(values, ())]

    def rows() -> Iterator[tuple[str, Sequence[object]]]:
        size = 0
        for number, row in enumerate(values, start=begins + 1):
            size += sum(len(value) for value in row if isinstance(value, str))  # many cells may share one long text
            if size > most:
                raise _too_large(path, GrowsTooMuchError(most))
            if any(value is not None for value in row):
                yield f"{path}:{number}", [*map(_as_text, row), *[None] * (len(header) - len(row))]

    return Rows(header, rows())


def _first_row(sheet: Any) -> int | None:  # noqa: ANN401 - a worksheet of openpyxl, or a sheet of charts
    """Return the number of the header, the first row with several values; there may be a title above it."""
    numbered = enumerate(sheet.iter_rows(max_row=_TITLE, values_only=True), start=1)
    return next((number for number, row in numbered if sum(value is not None for value in row) > 1), None)


def _as_text(value: object) -> object:
    """Format a date or time; other values are returned unchanged."""
    return str(value) if isinstance(value, date | time) else value


def _too_large(path: Path, error: GrowsTooMuchError) -> DataError:
    return DataError(f"{path}: is not read: {error}, or raise dataset.max_ratio")


def _parquet(path: Path, max_ratio: int) -> Rows:
    most = most_unpacked(path.stat().st_size, max_ratio)
    try:
        about = pq.read_metadata(path)
        header = about.schema.to_arrow_schema().names
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise _no_parquet(path, 1, error) from error

    if sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups)) > most:
        raise _too_large(path, GrowsTooMuchError(most))

    def rows() -> Iterator[tuple[str, Sequence[object]]]:
        number = size = 0
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(_BATCH):
                    size += batch.nbytes
                    if size > most:
                        raise _too_large(path, GrowsTooMuchError(most))
                    for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                        number += 1
                        yield f"{path}:{number}", values
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise _no_parquet(path, number + 1, error) from error

    return Rows(header, rows())


def _no_parquet(path: Path, row: int, error: Exception) -> DataError:
    problem = " ".join(str(error).split())
    return DataError(f"{path}: not readable from row {row} on: {problem}; it should be Parquet")
