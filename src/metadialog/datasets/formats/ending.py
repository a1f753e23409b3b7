"""The ending of a file name, derived from the file's content, as the detection of formats also uses endings."""

import csv
import io
import json
import re
import zipfile

from metadialog.datasets.rows import delimiter_of
from metadialog.datasets.table import find_columns
from metadialog.errors import DataError

_RASA = ("stories:", "rules:", "test_cases:", "nlu:")
_JSON = re.compile(r"\{\s*[\"}]|\[\s*[\[{\"\]]")
_WORD = re.compile(r"[\w-]{1,30}")
_NAME = re.compile(r"[^.?!\u3002\uff1f\uff01]{1,30}")
_LOOKED_AT = 20  # lines
_FEWEST = 3  # lines of a table with other headings than ours


def ending_of(content: bytes) -> str:
    """Return the ending; `.txt` for content of no other kind."""
    if content.startswith(b"PK\x03\x04"):
        return _of_archive(content)
    if content.startswith(b"PAR1"):
        return ".parquet"
    marked = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    text = content.decode("utf-16" if marked else "utf-8", errors="replace").lstrip("\ufeff").strip()
    lines = [line for line in text.splitlines() if line.strip()][:_LOOKED_AT]
    if not lines:
        return ".txt"
    if _JSON.match(text):
        return ".jsonl" if len(lines) > 1 and all(map(_is_json, lines[:2])) else ".json"
    if any(line.startswith(_RASA) for line in lines):
        return ".yml"
    return ".csv" if _is_table(lines) else ".txt"


def _of_archive(content: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return ".xlsx" if "[Content_Types].xml" in archive.namelist() else ".zip"
    except (zipfile.BadZipFile, ValueError):
        return ".zip"


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict | list)
    except (ValueError, RecursionError):
        return False


def _is_table(lines: list[str]) -> bool:
    """Tell whether lines begin with the names of columns, or are so regular that they are a table, not a dialogue."""
    if re.fullmatch("sep=.", lines[0], re.IGNORECASE):  # written by Excel
        return True
    delimiter = delimiter_of(lines[0], ".csv")
    try:
        header, *rows = csv.reader(lines, delimiter=delimiter)
        find_columns(header, {}, "", "", one_topic=True)
    except csv.Error:
        return False
    except DataError:
        names = _WORD if delimiter == "," else _NAME
        is_regular = len(lines) >= _FEWEST and len(header) > 1 and all(len(row) == len(header) for row in rows)
        return is_regular and all(map(names.fullmatch, header))
    return True
