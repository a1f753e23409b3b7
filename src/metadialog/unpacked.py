"""The limit on the size of unpacked files, whether downloaded or local."""

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
"""Maximum ratio of unpacked to compressed size; for dialogues in JSON it is about 20."""

MaxRatio = Annotated[int, Ge(1), Le(10**6)]
"""The option `max_ratio` of readers of compressed files."""

ALWAYS = 64 * 2**20
"""Number of bytes that may be unpacked from any file."""


class GrowsTooMuchError(ValueError):
    """A compressed file unpacks to more than is allowed."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"it unpacks to more than {most:,} bytes, far more than dialogues of its compressed size do; unpack it "
            "yourself if you trust it"
        )


def most_unpacked(packed: int, ratio: int = MAX_RATIO) -> int:
    """Return the maximum unpacked size of a compressed file, in bytes."""
    return max(ALWAYS, ratio * packed)


def open_gzip(path: Path, ratio: int = MAX_RATIO) -> io.BufferedReader:
    """Open a gzip file for reading, which raises `GrowsTooMuchError` beyond the limit."""
    return io.BufferedReader(_Capped(gzip.open(path, "rb"), most_unpacked(path.stat().st_size, ratio)))


def check_member(file: Traversable) -> None:
    """Check the declared size of a member of a zip file, beyond which `zipfile` does not read.

    Other files are not checked.

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
    """Check the declared sizes of all members of an open zip file, beyond which `zipfile` does not read.

    Raises:
        GrowsTooMuchError: they are too large.
        zipfile.BadZipFile: it is not a zip file.
    """
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    file.seek(0)
    most = most_unpacked(sum(member.compress_size for member in members), ratio)
    if sum(member.file_size for member in members) > most:
        raise GrowsTooMuchError(most)


class _Capped(io.RawIOBase):
    """The content of a gzip file, up to a limit."""

    def __init__(self, file: gzip.GzipFile, most: int) -> None:
        super().__init__()
        self._file = file
        self._most = most
        self._read = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Read bytes into a buffer; return their number."""
        count = self._file.readinto(buffer)
        self._read += count
        if self._read > self._most:
            raise GrowsTooMuchError(self._most)
        return count

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
