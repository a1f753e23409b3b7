"""`adaptation.parquet`: the records, with metadata."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from annotated_types import Ge
from pydantic import BaseModel, ConfigDict, TypeAdapter

from metadialog.errors import RunError
from metadialog.escapes import escaped, shortened
from metadialog.runs.reading import MIB, adapted, open_regular, parse_json, unreadable

if TYPE_CHECKING:
    import pandas as pd

EPISODES_KEY = b"metadialog.episodes"
LANGUAGE_KEY = b"metadialog.language"
METRICS_KEY = b"metadialog.metrics"

# The columns of every version, with their types.
_TEXTS = ("algorithm", "dataset", "split", "topic")
_COUNTS = ("seed", "episode", "shots", "inner_step")
_POSITIVE = ("tokens", "words")
_NUMBERS = ("loss",)
NEEDED = (*_TEXTS, *_COUNTS, *_POSITIVE, *_NUMBERS)

_WHAT = "records of a run"
_MAX_FILE = 4096 * MIB
_MAX_CELLS = 200_000_000
_MAX_TEXT = 1024 * MIB  # size of a column's texts without dictionary encoding, bytes


class DrawnEpisode(BaseModel):
    """The dialogues of an episode."""

    model_config = ConfigDict(strict=True, frozen=True)
    topic: str
    episode: Annotated[int, Ge(0)]
    shots: Annotated[int, Ge(0)]
    support: list[str]
    query: list[str]


_EPISODES = TypeAdapter[list[DrawnEpisode]](list[DrawnEpisode])
_SIGNATURES = TypeAdapter[dict[str, str]](dict[str, str])


@dataclass(frozen=True, slots=True)
class RecordsFile:
    """The content of `adaptation.parquet`.

    Attributes:
        records: one row for each record.
        episodes: dialogues of each episode.
        language: ISO 639 code of the texts.
        signatures: signatures of text metrics, by metric.
    """

    records: "pd.DataFrame"
    episodes: Sequence[DrawnEpisode]
    language: str
    signatures: Mapping[str, str]


def write_table(path: Path, records: "pd.DataFrame", metadata: Mapping[bytes, bytes]) -> None:
    """Write records as a Parquet file.

    Args:
        path: the file.
        records: one row for each record.
        metadata: metadata of the file, by key.
    """
    table = pa.Table.from_pandas(records, preserve_index=False)
    pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), **metadata}), path)


def read_records(path: Path) -> RecordsFile:
    """Read the records of a run.

    Raises:
        RunError: the file is missing or damaged, has wrong columns or values, or would take too much memory.
    """
    try:
        with open_regular(path, _MAX_FILE, _WHAT) as file:
            table = _read_table(file, path)
    except (OSError, ValueError, MemoryError, pa.ArrowException) as error:
        raise unreadable(path, _WHAT, str(error)) from error
    metadata = table.schema.metadata or {}
    named = {key: f"{path}: {key.decode()}" for key in (EPISODES_KEY, METRICS_KEY)}
    episodes = adapted(_metadata(metadata, EPISODES_KEY, path), _EPISODES, named[EPISODES_KEY], "list of episodes")
    signatures = adapted(_metadata(metadata, METRICS_KEY, path), _SIGNATURES, named[METRICS_KEY], "signatures")
    _check_values(table, path)
    return RecordsFile(_frame(table), episodes, _text(metadata, LANGUAGE_KEY, path), signatures)


def _read_table(file: Any, path: Path) -> pa.Table:  # noqa: ANN401 - a binary file
    """Read a table with dictionary-encoded texts, so that repeated texts are stored once."""
    about = pq.ParquetFile(file)
    schema = about.schema_arrow
    cells = about.metadata.num_rows * max(len(schema.names), 1)
    if cells > _MAX_CELLS:
        raise RunError(f"{path}: has {about.metadata.num_rows:,} rows; it should have at most {_MAX_CELLS:,} values")
    missing = [name for name in NEEDED if name not in schema.names]
    if missing:
        raise RunError(f"{path}: has no column {', '.join(missing)}, which records should have")
    texts = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]
    for field in schema:
        _check_type(field, path)
    return pq.ParquetFile(file, read_dictionary=texts).read(columns=schema.names, use_threads=False)


def _check_type(field: pa.Field, path: Path) -> None:
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if field.name in _TEXTS:
        right, expected = is_text, "text"
    elif field.name in (*_COUNTS, *_POSITIVE):
        right, expected = pa.types.is_integer(kind), "whole numbers"
    elif field.name in _NUMBERS:
        right, expected = pa.types.is_floating(kind), "numbers"
    else:
        flat = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null)
        right, expected = is_text or any(test(kind) for test in flat), "numbers or text"
    if not right:
        raise RunError(f"{path}: column {escaped(shortened(field.name, 60))} holds {kind}; it should hold {expected}")


def _check_values(table: pa.Table, path: Path) -> None:
    """Check the required columns.

    Raises:
        RunError: a value is missing or out of range, or texts are too long.
    """
    for name in NEEDED:
        column = table[name]
        # pandas writes NaN losses as null: the run has diverged, and is still read.
        if column.null_count and name != "loss":
            raise RunError(f"{path}: column {name} lacks {column.null_count} of its values")
        lowest = 1 if name in _POSITIVE else 0
        if name in (*_COUNTS, *_POSITIVE) and len(column) and (smallest := pc.min(column).as_py()) < lowest:
            raise RunError(f"{path}: column {name} holds {smallest}; it should hold {lowest} or more")
    for field in table.schema:
        if pa.types.is_dictionary(field.type) and _written_out(table[field.name]) > _MAX_TEXT:
            raise RunError(f"{path}: the texts of column {escaped(shortened(field.name, 60))} are too long to be read")


def _written_out(column: pa.ChunkedArray) -> int:
    """Return the size of a column's texts without dictionary encoding, in bytes."""
    lengths = (pc.sum(pc.take(pc.binary_length(chunk.dictionary), chunk.indices)).as_py() for chunk in column.chunks)
    return sum(length or 0 for length in lengths)


def _frame(table: pa.Table) -> "pd.DataFrame":
    """Return the table with decoded texts."""
    plain = [
        column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        for column in table.columns
    ]
    frame: pd.DataFrame = pa.table(plain, names=table.column_names).to_pandas()
    return frame


def _text(metadata: Mapping[bytes, bytes], key: bytes, path: Path) -> str:
    try:
        return metadata[key].decode("utf-8")
    except KeyError as error:
        raise unreadable(path, _WHAT, f"its metadata has no {key.decode()}") from error
    except UnicodeDecodeError as error:
        raise unreadable(path, _WHAT, f"{key.decode()} should be UTF-8 text") from error


def _metadata(metadata: Mapping[bytes, bytes], key: bytes, path: Path) -> object:
    return parse_json(_text(metadata, key, path), f"{path}: {key.decode()}", "metadata of records")
