"""Atomic writing: a file is there as it was or as it is to be, whenever the process dies or the disk is full."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)  # Windows has none


@contextmanager
def replacing(path: Path, mode: int = 0o666) -> Iterator[Path]:
    """Yield a path to write a file to, which takes the place of `path` once it is whole and on the disk.

    If it cannot be written, nothing is left of it, and what was there stays.

    Args:
        path: the file; its directory is made if absent.
        mode: permissions of the file, less the process's umask.

    Raises:
        OSError: naming the path.
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
    """Write a file, whole or not at all; text as UTF-8.

    Args:
        path: the file; its directory is made if absent.
        content: all of it.
        mode: permissions of the file, less the process's umask.

    Raises:
        OSError: naming the path.
    """
    with replacing(path, mode) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def _errno(error: BaseException | None) -> int | None:
    """Return the system's error number; libraries that write a file may wrap its error in their own."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        error = error.__cause__ or error.__context__
    return None


def _remove(path: Path) -> None:
    """Remove a file, if it is there and the system allows it."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
