"""Files that are there as they were, or as they shall be, whenever the process dies or the disk is full."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write a file to, which takes the place of `path` once it is whole and on the disk.

    If it cannot be written, nothing is left of it, and what was there stays.

    Raises:
        OSError: naming the path.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
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


def write_atomically(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _errno(error: BaseException | None) -> int | None:
    """Return what the system said; libraries that write through a file may put errors of their own before it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        error = error.__cause__ or error.__context__
    return None


def _remove(path: Path) -> None:
    """Remove a file, if it is there and the disk lets go of it."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
