"""Atomic writing: after any failure a file has its old or its new content."""

import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from metadialog.runs.atomic import replacing, write_atomically

LARGE = b"x" * 200_000


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Make the system refuse to enlarge files, as with a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_does_not_fit_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("before")
    with files_of_at_most(100_000), pytest.raises(OSError, match=f"File too large: '{path}'"):
        write_atomically(path, LARGE)
    assert path.read_text() == "before"
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


def test_after_a_kill_the_old_file_is_whole_and_the_next_write_leaves_nothing(tmp_path: Path) -> None:
    path, begun = tmp_path / "report.html", tmp_path / "begun"
    path.write_text("before")
    child = os.fork()
    if child == 0:
        with replacing(path) as partial:
            partial.write_bytes(LARGE)
            begun.touch()
            time.sleep(60)
        os._exit(0)
    while not begun.exists():
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    begun.unlink()
    assert path.read_text() == "before"
    write_atomically(path, "after")
    assert path.read_text() == "after"
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]
