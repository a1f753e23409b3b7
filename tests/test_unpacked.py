"""Compressed files that become far more than they are cost one line, and no memory."""

import gzip
import zipfile
from pathlib import Path

import pytest

from metadialog.datasets.jsonl import JsonlDataset
from metadialog.datasets.local import read_bytes
from metadialog.errors import DataError
from metadialog.unpacked import ALWAYS, MAX_RATIO, most_unpacked


def test_small_files_have_room_and_large_ones_a_ratio() -> None:
    assert most_unpacked(10) == ALWAYS
    assert most_unpacked(2**30) == MAX_RATIO * 2**30


@pytest.mark.parametrize("unit", [b" " * 1024, b" " * 1023 + b"\n"])
def test_a_gzip_that_grows_is_refused(unit: bytes, tmp_path: Path) -> None:
    """Whether it is one endless line or many blank ones."""
    path = tmp_path / "my.jsonl.gz"
    path.write_bytes(gzip.compress(unit * (ALWAYS // 1024 + 1)))
    with pytest.raises(DataError, match=r"my\.jsonl\.gz:\d+: is not read on: it unpacks to more than 67,108,864 bytes"):
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
        with pytest.raises(DataError, match=r"data\.json: is not read: it unpacks to more than 67,108,864 bytes"):
            read_bytes(member)
