"""Safe unpacking of untrusted archives."""

import gzip
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO, cast

from metadialog.downloads.sources import RemoteFile
from metadialog.errors import DataError
from metadialog.unpacked import MAX_RATIO

MAX_MEMBERS = 100_000

_LITTER = {"__MACOSX", ".DS_Store"}
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class _Member:
    """A member of an archive: its name, type, and content if it is a file."""

    name: str
    kind: str
    content: IO[bytes] | None


class _RefusedError(Exception):
    """The archive is damaged or refused."""


def unpack(archive: Path, file: RemoteFile, target: Path) -> None:
    """Unpack an archive's files.

    Only files and folders are written, and only inside `target`: an archive with members outside, with links or
    devices, with more than `MAX_MEMBERS` members, or one that grows beyond `file.max_unpacked_bytes` or `MAX_RATIO` is
    refused as a whole. Times, owners and modes are not taken over.

    Args:
        archive: the archive.
        file: its kind, and which of its members go where.
        target: existing folder that no other process writes to.

    Raises:
        DataError: the archive is damaged or refused; the message names it and the member. Files unpacked so far are not
            removed.
    """
    room = min(file.max_unpacked_bytes, max(MAX_RATIO * archive.stat().st_size, _CHUNK))
    members = _zip_members if file.archive == "zip" else _tar_members
    written: set[PurePosixPath] = set()
    try:
        with members(archive, room) as result:
            for count, member in enumerate(result, start=1):
                if count > MAX_MEMBERS:
                    raise _RefusedError(f"it has more than {MAX_MEMBERS:,} members")
                path = _target_path(member, file)
                if path is None or member.content is None:
                    continue
                if path in written:
                    raise _RefusedError(f"it has the member {member.name!r} twice")
                written.add(path)
                room -= _write(member.content, target / path, room)
    except (_RefusedError, zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, OSError, ValueError) as error:
        raise _problem(archive, error) from error
    except (RuntimeError, NotImplementedError) as error:  # zipfile's errors for passwords and compression methods
        raise _problem(archive, error) from error
    if not written:
        raise DataError(f"{archive}: is not unpacked: it holds none of the files that it should hold")


def _problem(archive: Path, error: Exception) -> DataError:
    problem = " ".join(str(error).split()) or type(error).__name__
    return DataError(f"{archive}: is not unpacked: {problem}")


def _target_path(member: _Member, file: RemoteFile) -> PurePosixPath | None:
    """Return the path of a member below the target; None if it is not wanted.

    Raises:
        _RefusedError: the member is not a file or folder, or is outside of the target.
    """
    name = member.name
    if member.kind not in ("file", "folder"):
        raise _RefusedError(f"its member {name!r} is a {member.kind}; there should be files and folders alone")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or any(c in name for c in "\\:\0"):
        raise _RefusedError(f"its member {name!r} would be written outside of the target folder")
    parts = path.parts[file.strip :]
    if not parts or _LITTER & set(path.parts):
        return None
    inside = PurePosixPath(*parts)
    if file.keep and not any(fnmatchcase(str(inside), pattern) for pattern in file.keep):
        return None
    return inside


def _write(content: IO[bytes], path: Path, room: int) -> int:
    """Write a member within the limit; return its actual size in bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with path.open("xb") as out:
        while chunk := content.read(_CHUNK):
            size += len(chunk)
            if size > room:
                raise _RefusedError("it grows beyond the size that it may have unpacked")
            out.write(chunk)
    return size


@contextmanager
def _zip_members(archive: Path, _room: int) -> Iterator[Iterator[_Member]]:
    with zipfile.ZipFile(archive) as opened:

        def members() -> Generator[_Member, None, None]:
            for info in opened.infolist():
                kind = _kind(info)
                if kind != "file":
                    yield _Member(info.filename, kind, None)
                    continue
                with opened.open(info) as content:
                    yield _Member(info.filename, kind, content)

        with closing(members()) as result:  # closed before the archive, which an open member would keep open
            yield result


def _kind(info: zipfile.ZipInfo) -> str:
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "link" if stat.S_ISLNK(mode) else "device"
    return "folder" if info.is_dir() else "file"


@contextmanager
def _tar_members(archive: Path, room: int) -> Iterator[Iterator[_Member]]:
    # A stream, so that the limit also applies to headers.
    with gzip.open(archive) as unzipped, tarfile.open(None, "r|", cast("IO[bytes]", _Capped(unzipped, room))) as opened:

        def members() -> Generator[_Member, None, None]:
            for info in opened:
                if info.isreg():
                    yield _Member(info.name, "file", opened.extractfile(info))
                elif info.isdir():
                    yield _Member(info.name, "folder", None)
                else:
                    yield _Member(info.name, "link" if info.issym() or info.islnk() else "device", None)

        with closing(members()) as result:  # closed before the archive, which an open member would keep open
            yield result


class _Capped:
    """A file that cannot be read beyond `room` bytes plus some for headers."""

    def __init__(self, file: gzip.GzipFile, room: int) -> None:
        self._file = file
        self._room = room + (room >> 3) + _CHUNK

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes."""
        chunk = self._file.read(size)
        self._room -= len(chunk)
        if self._room < 0:
            raise _RefusedError("it grows beyond the size that it may have unpacked")
        return chunk
