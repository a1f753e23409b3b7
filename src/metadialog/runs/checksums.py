"""Checksums of checkpoints and exported models."""

import hashlib
import os
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from metadialog.errors import RunError
from metadialog.runs import layout
from metadialog.runs.atomic import write_atomically
from metadialog.runs.reading import MIB, open_regular, read_json, unreadable
from metadialog.runs.schemas import Checksums

_CHUNK = MIB
_MARK = b"metadialog sha256 "
_DIGEST = 64  # characters of a SHA-256 in hexadecimal
_COMMENT = len(_MARK) + _DIGEST
_LENGTH = 2  # size of the comment length, the last field of a zip without a comment


def seal_zip(path: Path) -> None:
    """Write a zip file's SHA-256 into its comment, which readers of zip files ignore."""
    with path.open("r+b") as file:
        digest = _digest(file, os.fstat(file.fileno()).st_size - _LENGTH)
        file.seek(-_LENGTH, os.SEEK_END)
        file.write(struct.pack("<H", _COMMENT) + _MARK + digest.encode())


def check_zip(path: Path, limit: int, what: str) -> None:
    """Check a zip file sealed by `seal_zip`; those of version 0.1.0 only have checksums of their parts.

    Raises:
        RunError: the file cannot be read, is not such a zip, was changed, or is compressed.
    """
    with open_regular(path, limit, what) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                comment = archive.comment
                packed = [part for part in archive.infolist() if part.compress_type != zipfile.ZIP_STORED]
                damaged = None if comment or packed else archive.testzip()
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError) as error:
            raise unreadable(path, what, f"the file is damaged, or of something else ({error})") from error
        if packed:
            raise unreadable(path, what, "its parts are compressed, as those of a checkpoint never are")
        if damaged is not None or (comment and not _is_intact(file)):
            raise unreadable(path, what, "it has been changed since it was written: its checksum is another")


def write_checksums(directory: Path, names: Sequence[str]) -> None:
    """Write the SHA-256 of files in a directory to a file in it."""
    content = Checksums(sha256={name: file_digest(directory / name) for name in names})
    write_atomically(directory / layout.CHECKSUMS, content.model_dump_json(indent=2) + "\n")


def remove_checksums(directory: Path) -> None:
    """Remove the checksums before the files change."""
    (directory / layout.CHECKSUMS).unlink(missing_ok=True)


def check_checksums(directory: Path) -> None:
    """Check the files of a directory against their checksums, if there are any.

    Raises:
        RunError: a file was changed; the message names it.
    """
    path = directory / layout.CHECKSUMS
    if not os.path.lexists(path):
        return
    for name, digest in read_json(path, Checksums, MIB, "checksums of a model").sha256.items():
        if file_digest(directory / name) != digest:
            raise RunError(
                f"{directory / name}: has been changed since it was written: its checksum is not that of "
                f"{layout.CHECKSUMS}"
            )


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a regular file, in hexadecimal.

    Raises:
        RunError: it cannot be read.
    """
    with open_regular(path, 2**63) as file:
        try:
            return _digest(file, os.fstat(file.fileno()).st_size)
        except OSError as error:
            raise unreadable(path, "file", error.strerror or str(error)) from error


def _is_intact(file: IO[bytes]) -> bool:
    size = os.fstat(file.fileno()).st_size - _COMMENT - _LENGTH
    digest = _digest(file, size)
    return file.read() == struct.pack("<H", _COMMENT) + _MARK + digest.encode()


def _digest(file: IO[bytes], size: int) -> str:
    """Return the SHA-256 of the first bytes of a file."""
    file.seek(0)
    result = hashlib.sha256()
    while size > 0 and (chunk := file.read(min(_CHUNK, size))):
        result.update(chunk)
        size -= len(chunk)
    return result.hexdigest()
