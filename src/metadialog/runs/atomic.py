"""Atomic writing of files and folders."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)  # Windows has none


@contextmanager
def replacing(path: Path, mode: int = 0o666) -> Iterator[Path]:
    """Yield a temporary path, which replaces `path` once it is completely on the disk.

    If it cannot be written, it is removed, and the existing file is kept.

    Args:
        path: the file; its directory is created if missing.
        mode: permissions of the file, before the umask.

    Raises:
        OSError: it cannot be written; the error names the path.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(partial)
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _NO_LINKS, mode))
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:
        _remove(partial)
        number = _errno(error)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def write_atomically(path: Path, content: str | bytes, mode: int = 0o666) -> None:
    """Write a file atomically; text as UTF-8.

    Args:
        path: the file; its directory is created if missing.
        content: content of the file.
        mode: permissions of the file, before the umask.

    Raises:
        OSError: it cannot be written; the error names the path.
    """
    with replacing(path, mode) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def creating_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary path for a folder, which becomes `path` at the end, or is removed if anything fails.

    Args:
        path: the folder, which must not exist or be empty; its parent must exist.
    """
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        yield partial
        if path.exists():
            path.rmdir()  # an empty folder
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_can_create(folder: Path) -> None:
    """Create a folder's parents, and a temporary folder next to it, to check early that it can be created.

    Raises:
        OSError: it cannot.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent):
        pass


def _errno(error: BaseException | None) -> int | None:
    """Return the system's error number, also if a library has wrapped the error."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        error = error.__cause__ or error.__context__
    return None


def _remove(path: Path) -> None:
    """Remove a file if possible."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
