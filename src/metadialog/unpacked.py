"""How much a compressed file may become: the one limit for whatever is unpacked, downloaded or of the user's own."""

import gzip
import io
import zipfile
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

from annotated_types import Ge, Le

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_RATIO = 200
"""Most bytes that a byte of a compressed file may become; dialogues in JSON come to about 20."""

MaxRatio = Annotated[int, Ge(1), Le(10**6)]
"""The option `max_ratio` of what reads compressed files."""

ALWAYS = 64 * 2**20
"""Bytes that may be unpacked from any file, however small."""


class GrowsTooMuchError(ValueError):
    """A compressed file becomes more than it may."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"it unpacks to more than {most:,} bytes, far more than dialogues of its compressed size do; unpack it "
            "yourself if you trust it"
        )


def most_unpacked(packed: int, ratio: int = MAX_RATIO) -> int:
    """Return how many bytes a compressed file of some bytes may become."""
    return max(ALWAYS, ratio * packed)


def open_gzip(path: Path, ratio: int = MAX_RATIO) -> io.BufferedReader:
    """Open a gzip file for reading; beyond its limit that raises `GrowsTooMuchError`."""
    return io.BufferedReader(_Capped(gzip.open(path, "rb"), most_unpacked(path.stat().st_size, ratio)))


def check_member(file: Traversable) -> None:
    """Check how large a member of a zip file says it is; `zipfile` reads no more than that. Others are not checked.

    Raises:
        GrowsTooMuchError: it is too large.
    """
    if not isinstance(file, zipfile.Path) or not file.is_file():
        return
    about = file.root.getinfo(file.at)
    most = most_unpacked(about.compress_size)
    if about.file_size > most:
        raise GrowsTooMuchError(most)


def check_archive(file: BinaryIO, ratio: int = MAX_RATIO) -> None:
    """Check how large all members of an open zip file say they are; `zipfile` reads no more than that.

    Raises:
        GrowsTooMuchError: they are too large.
        zipfile.BadZipFile: it is no zip file.
    """
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    file.seek(0)
    most = most_unpacked(sum(member.compress_size for member in members), ratio)
    if sum(member.file_size for member in members) > most:
        raise GrowsTooMuchError(most)


class _Capped(io.RawIOBase):
    """What a gzip file holds, up to a limit."""

    def __init__(self, file: gzip.GzipFile, most: int) -> None:
        super().__init__()
        self._file = file
        self._most = most
        self._read = 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Read some bytes into a buffer; return how many."""
        count = self._file.readinto(buffer)
        self._read += count
        if self._read > self._most:
            raise GrowsTooMuchError(self._most)
        return count

    def close(self) -> None:
        """Close the file with it."""
        self._file.close()
        super().close()
