"""Records that are damaged, have wrong types, or would fill the memory."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metadialog.errors import RunError
from metadialog.runs.records import EPISODES_KEY, LANGUAGE_KEY, METRICS_KEY, NEEDED, read_records, write_table

SOURCE = Path(__file__).parents[1] / "fixtures" / "version_0_1_0" / "finished" / "adaptation.parquet"


def written(path: Path, change: dict[str, Any], metadata: dict[bytes, bytes] | None = None) -> Path:
    table = pq.read_table(SOURCE)
    frame = table.to_pandas().assign(**change)
    kept = {key: table.schema.metadata[key] for key in (EPISODES_KEY, LANGUAGE_KEY, METRICS_KEY)}
    write_table(path, frame, {**kept, **(metadata or {})})
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"words": 0}, "column words holds 0; it should hold 1 or more"),
        ({"words": -1}, "column words holds -1"),
        ({"tokens": 0}, "column tokens holds 0"),
        ({"shots": -1}, "column shots holds -1; it should hold 0 or more"),
        ({"loss": "much"}, "column loss holds string; it should hold numbers"),
        ({"loss": None}, "it should hold numbers"),
        ({"topic": 3}, "column topic holds int64; it should hold text"),
        ({"words": 1.5}, "column words holds double; it should hold whole numbers"),
        ({"topic": [None] * 15}, "column topic"),
        ({"extra": [[1]] * 15}, "column extra holds list"),
    ],
)
def test_values_that_no_record_has_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(RunError) as caught:
        read_records(written(tmp_path / "adaptation.parquet", change))
    assert message in str(caught.value).replace("large_string", "string")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (EPISODES_KEY, b"{", "no readable metadata of records"),
        (EPISODES_KEY, b"{}", "no list of episodes"),
        (EPISODES_KEY, json.dumps([{"topic": 1}]).encode(), "no list of episodes: 0.topic is 1"),
        (EPISODES_KEY, b"[" * 10_000 + b"]" * 10_000, "nested too deeply"),
        (LANGUAGE_KEY, b"\xff", "metadialog.language should be UTF-8 text"),
        (METRICS_KEY, b"[1]", "no signatures"),
    ],
)
def test_damaged_metadata_is_named(tmp_path: Path, key: bytes, value: bytes, message: str) -> None:
    with pytest.raises(RunError) as caught:
        read_records(written(tmp_path / "adaptation.parquet", {}, {key: value}))
    assert message in str(caught.value)


def test_a_small_file_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    rows = 30_000_000
    path = tmp_path / "adaptation.parquet"
    column = pa.chunked_array([pa.nulls(rows // 10, pa.int8())] * 10)  # a few bytes in the file
    pq.write_table(pa.table(dict.fromkeys(NEEDED, column)), path)
    assert path.stat().st_size < 1_000_000
    with pytest.raises(RunError, match="has 30,000,000 rows; it should have at most"):
        read_records(path)


def test_a_long_text_that_is_repeated_is_not_written_out(tmp_path: Path) -> None:
    path = written(tmp_path / "adaptation.parquet", {})
    table = pq.read_table(path)
    frame = pd.concat([table.to_pandas()] * 200, ignore_index=True)
    frame["engine"] = pd.Categorical.from_codes([0] * len(frame), pd.Index(["x" * 1_000_000]))
    write_table(path, frame, table.schema.metadata)
    assert path.stat().st_size < 5_000_000
    with pytest.raises(RunError, match="the texts of column engine are too long"):
        read_records(path)
