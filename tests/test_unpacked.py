"""Compressed files that would become far larger are refused in one line, without using much memory."""

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metadialog.datasets.jsonl import JsonlDataset
from metadialog.datasets.local import read_bytes
from metadialog.datasets.table import TableDataset
from metadialog.embeddings.pretrained import Pretrained
from metadialog.errors import DataError
from metadialog.models.rnn import DialogModel
from metadialog.unpacked import MAX_RATIO, most_unpacked

ALWAYS = 2**20


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the size that may always be unpacked to a MiB, so that the test files can be small."""
    monkeypatch.setattr("metadialog.unpacked.ALWAYS", ALWAYS)


def test_small_files_have_room_and_large_ones_a_ratio() -> None:
    assert most_unpacked(10) == ALWAYS
    assert most_unpacked(2**30) == MAX_RATIO * 2**30


@pytest.mark.parametrize("unit", [b" " * 1024, b" " * 1023 + b"\n"])
def test_a_gzip_that_grows_is_refused(unit: bytes, tmp_path: Path) -> None:
    """One endless line and many blank lines are both refused."""
    path = tmp_path / "my.jsonl.gz"
    path.write_bytes(gzip.compress(unit * (ALWAYS // 1024 + 1)))
    with pytest.raises(DataError, match=r"my\.jsonl\.gz:\d+: is not read on: it unpacks to more than 1,048,576 bytes"):
        list(JsonlDataset(path=str(path), language="en").dialogues())


@pytest.mark.parametrize(("beyond", "refused"), [(0, False), (1, True)])
def test_a_member_of_a_zip_file_that_grows_is_refused(beyond: int, refused: bool, tmp_path: Path) -> None:
    packed = tmp_path / "data.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.json", bytes(ALWAYS + beyond))
    with zipfile.ZipFile(packed) as archive:
        member = zipfile.Path(archive, "data.json")
        if not refused:
            assert len(read_bytes(member)) == ALWAYS
            return
        with pytest.raises(DataError, match=r"data\.json: is not read: it unpacks to more than 1,048,576 bytes"):
            read_bytes(member)


def _parquet(path: Path, text: str, rows: int) -> None:
    columns = {"dialogue_id": ["1"] * rows, "topic": ["a"] * rows, "speaker": ["b"] * rows, "text": [text] * rows}
    pq.write_table(pa.table(columns), path, compression="zstd")


def _excel(path: Path, text: str, rows: int) -> None:
    book = openpyxl.Workbook()
    for row in [("dialogue_id", "topic", "speaker", "text"), *[("1", "a", "b", text)] * rows]:
        book.worksheets[0].append(row)
    book.save(path)


@pytest.mark.parametrize(
    ("name", "write", "text", "rows"),
    [
        # a long text, and a text that the file contains once and 100 rows refer to
        ("my.parquet", _parquet, " " * (ALWAYS + 1), 1),
        ("my.parquet", _parquet, " " * 2**16, 100),
        ("my.xlsx", _excel, "a" * 32_000, 40),
    ],
)
def test_a_table_that_grows_is_refused(
    name: str, write: Callable[[Path, str, int], None], text: str, rows: int, tmp_path: Path
) -> None:
    path = tmp_path / name
    write(path, text, rows)
    assert path.stat().st_size < 2**20
    with pytest.raises(DataError, match=r"is not read: it unpacks to more than 1,\d+,\d+ bytes.*dataset\.max_ratio"):
        list(TableDataset(path=str(path), language="en").dialogues())
    read = TableDataset(path=str(path), language="en", max_ratio=10**6).dialogues()
    assert sum(len(turn.text) for dialogue in read for turn in dialogue.turns) == len(text) * rows


def test_word_vectors_that_grow_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt.gz"
    path.write_bytes(gzip.compress(b"a" * (ALWAYS + 1)))
    with pytest.raises(DataError, match=r"vectors\.txt\.gz: reading stopped: .*embedding\.max_ratio"):
        Pretrained(path=str(path)).check(DialogModel(10, cell="gru", embedding_size=2, hidden_size=2))
