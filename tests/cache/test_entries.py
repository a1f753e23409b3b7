import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from metadialog.cache.entries import SEAL, entry, find_damage, temporary
from metadialog.errors import DataError

CONTENT = bytes(range(256)) * 8192


class Builder:
    """Writes two files, and counts the calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, folder: Path) -> None:
        self.calls += 1
        (folder / "big").write_bytes(CONTENT)
        (folder / "small").write_text(str(self.calls))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "prepared" / "thing-123"


def test_an_entry_is_built_once(folder: Path) -> None:
    build = Builder()
    assert entry(folder, build) == entry(folder, build) == folder
    assert build.calls == 1
    assert {path.name for path in folder.iterdir()} == {"big", "small", SEAL}
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def truncate(folder: Path) -> None:
    (folder / "big").write_bytes(CONTENT[:-1])


def flip(folder: Path) -> None:
    with (folder / "big").open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"!")


def delete(folder: Path) -> None:
    (folder / "small").unlink()


def unseal(folder: Path) -> None:
    (folder / SEAL).unlink()


def break_the_seal(folder: Path) -> None:
    (folder / SEAL).write_text("[]")


@pytest.mark.parametrize("damage", [truncate, flip, delete, unseal, break_the_seal])
def test_a_damaged_entry_is_built_anew_with_one_line(
    damage: Callable[[Path], None], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    build = Builder()
    damage(entry(folder, build))
    assert find_damage(folder) is not None
    assert entry(folder, build) == folder
    assert build.calls == 2
    assert find_damage(folder) is None
    assert [record.getMessage().count("\n") for record in caplog.records] == [0]
    assert caplog.records[0].getMessage().startswith(f"{folder} is damaged (")
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_build_that_fails_leaves_nothing(folder: Path) -> None:
    def fail(made: Path) -> None:
        (made / "half").write_text("")
        raise DataError("line 7 is broken")

    with pytest.raises(DataError, match="line 7 is broken"):
        entry(folder, fail)
    assert list(folder.parent.iterdir()) == []


def test_where_the_cache_cannot_be_written_the_run_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    found = entry(tmp_path / "file" / "prepared" / "thing-123", Builder())
    assert (found / "big").read_bytes() == CONTENT
    assert "cannot be written (Not a directory): what belongs there is built for this run alone" in caplog.text


def test_nowhere_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(DataError, match="cannot be written: No such file or directory; make room"):
        temporary(Builder())


def test_what_a_killed_process_left_goes_after_a_day(folder: Path) -> None:
    old, new = folder.with_name("x.1.unfinished"), folder.with_name("x.2.unfinished")
    for path in (old, new):
        path.mkdir(parents=True)
    os.utime(old, (time.time() - 90_000,) * 2)
    entry(folder, Builder())
    assert {path.name for path in folder.parent.iterdir()} == {folder.name, new.name}


SCRIPT = """
import sys, time
from pathlib import Path
from metadialog.cache.entries import entry

def build(folder):
    print("building", flush=True)
    sys.stdin.readline()  # until both are at it
    (folder / "data").write_bytes(bytes(100_000))

print(entry(Path(sys.argv[1]), build), (Path(sys.argv[1]) / "data").stat().st_size)
"""


def test_two_processes_that_build_at_once_both_succeed(folder: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(folder)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "building\n"
    outcomes = [process.communicate("\n", timeout=30) for process in processes]
    assert outcomes == [(f"{folder} 100000\n", "")] * 2
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert find_damage(folder) is None
