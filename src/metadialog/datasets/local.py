"""Local copies of published data sets: a folder or a zip file in the publisher's layout."""

import zipfile
import zlib
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from io import BytesIO
from pathlib import Path
from typing import Annotated, BinaryIO

from annotated_types import MinLen

from metadialog.errors import ConfigError, DataError
from metadialog.unpacked import GrowsTooMuchError, check_member

Root = Annotated[str, MinLen(1)]
"""The option `root` of published data sets: path of a local copy; None for the downloaded one."""

ABOUT = ("readme", "license", "licence", "changelog")
"""Files that describe a folder and are not data."""

LONGEST_LINE = 256 * 2**20
"""Maximum number of bytes of a line: a file with a longer one holds no lines of text."""

LARGEST_WHOLE = 2 * 2**30
"""Maximum number of bytes of a file that is not read line by line."""

_NAMED = 3
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def expand(path: str, option: str) -> Path:
    """Return the path in an option, with `~` expanded.

    Raises:
        ConfigError: it begins with `~user`, and there is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{option}={path}: there is no such home folder; write the path in full") from error


def refuse_special(path: Path, option: str) -> None:
    """Refuse a FIFO, a socket or a device, which would block or never end when read.

    Raises:
        DataError: it is one. Whether the path exists is not checked.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise DataError(f"{option}={path}: is a FIFO, a socket or a device; it should be a regular file")


def check_size(path: Path) -> None:
    """Check the size of a file before it is read as a whole.

    Raises:
        DataError: it is too large.
        OSError: there is no such file.
    """
    if path.stat().st_size > LARGEST_WHOLE:
        raise DataError(
            f"{path}: has more than {LARGEST_WHOLE // 2**20:,} MiB, and would be read at once; write one dialogue a "
            "line (.jsonl), or several files"
        )


def numbered_lines(file: BinaryIO, path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of an open file with their numbers, from 1.

    Raises:
        DataError: a line is longer than `LONGEST_LINE`.
    """
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise DataError(
                f"{path}:{number}: the line has more than {LONGEST_LINE // 2**20} MiB; it should be a file of texts"
            )
        yield number, line


class LocalCopy:
    """A folder, or a zip file that is read without unpacking it.

    A folder with only a zip file is read like the zip file.
    """

    def __init__(self, root: str | None, publication: str) -> None:
        """Set the copy; nothing is read yet.

        Args:
            root: path of the folder or of the zip file; None if it is not set, so that nothing can be read.
            publication: description of the expected files, for messages.

        Raises:
            ConfigError: the path begins with `~user`, and there is no such home folder.
        """
        self.path = None if root is None else expand(root, "dataset.root")
        self._publication = publication

    def folders(self) -> Iterator[Traversable]:
        """Yield the top of the copy, then its folders by name, as archives often contain a single folder.

        Raises:
            DataError: the path is neither a folder nor a zip file.
        """
        top = self._open()
        yield top
        yield from (entry for entry in listing(top) if entry.is_dir())

    def find(self, *names: str) -> Traversable | None:
        """Return the first file or folder with one of the names, at the top or in one of its folders."""
        for folder in self.folders():
            for name in names:
                result = folder / name
                if result.is_file() or result.is_dir():
                    return result
        return None

    def need(self, *names: str) -> Traversable:
        """Return the result of `find`.

        Raises:
            DataError: there is none.
        """
        result = self.find(*names)
        if result is None:
            raise DataError(
                f"{self.path}: holds no {' or '.join(names)}{self._archives()}; dataset.root should name a copy of "
                f"{self._publication}"
            )
        return result

    def _archives(self) -> str:
        """Return a hint about zip files in the folder, if there are several."""
        if self.path is None or not self.path.is_dir():
            return ""
        zipped = [entry.name for entry in listing(self.path) if _is_archive(entry)]
        return f", but {', '.join(zipped[:_NAMED])}" if len(zipped) > 1 else ""

    def _open(self) -> Traversable:
        remedy = f"dataset.root should name a copy of {self._publication}"
        if self.path is None:
            raise DataError(f"dataset.root: no local copy is named; {remedy}")
        top = open_folder(self.path, remedy)
        if isinstance(top, Path):
            entries = [entry for entry in listing(top) if Path(entry.name).stem.lower() not in ABOUT]
            if len(entries) == 1 and _is_archive(entries[0]):  # downloaded but not unpacked
                return open_folder(top / entries[0].name, remedy)
        return top


def _is_archive(entry: Traversable) -> bool:
    return entry.name.lower().endswith(".zip") and entry.is_file()


def open_folder(path: Path, remedy: str) -> Traversable:
    """Open a folder, or a zip file like a folder.

    Raises:
        DataError: it is neither; the message ends with the remedy.
    """
    try:
        if path.is_dir():
            return path
        if not path.is_file():
            raise DataError(f"{path}: there is no such folder or zip file; {remedy}")
        return zipfile.Path(path)
    except zipfile.BadZipFile as error:
        raise DataError(f"{path}: is neither a folder nor a whole zip file ({error}); {remedy}") from error
    except (OSError, ValueError, RuntimeError) as error:  # a name with a null byte, an unsupported archive
        raise DataError(f"{path}: cannot be read: {error}; {remedy}") from error


def inside(archive: Traversable) -> Traversable:
    """Open a zip file, which may be inside another one.

    Raises:
        DataError: it cannot be read or is damaged.
    """
    try:
        file = zipfile.ZipFile(BytesIO(read_bytes(archive)))
        file.filename = str(archive)  # for the messages
        return zipfile.Path(file)
    except (zipfile.BadZipFile, ValueError, OSError, RuntimeError) as error:
        raise DataError(f"{archive}: is not a whole zip file: {error}; it should be as published") from error


def listing(folder: Traversable) -> list[Traversable]:
    """Return the entries of a folder, sorted by name, without hidden files.

    Raises:
        DataError: it cannot be listed.
    """
    try:
        results = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}; it should be a folder") from error
    return sorted(results, key=lambda entry: entry.name)


def read_bytes(file: Traversable) -> bytes:
    """Return the content of a file, without a byte order mark.

    Raises:
        DataError: it cannot be read.
    """
    try:
        check_member(file)
        if isinstance(file, Path):
            check_size(file)
        return file.read_bytes().removeprefix(_BYTE_ORDER_MARK)
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}; it should be a file") from error
    except GrowsTooMuchError as error:
        raise DataError(f"{file}: is not read: {error}") from error
    except (KeyError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        # Python's errors for a damaged or encrypted member of a zip file.
        problem = " ".join(str(error).split())
        raise DataError(f"{file}: cannot be read: {problem}; it should be a whole file") from error


def read_lines(file: Traversable) -> list[str]:
    """Return the lines of a text file in UTF-8, without their ends (which may be those of Windows).

    Raises:
        DataError: it cannot be read, or is not UTF-8; the message names the line.
    """
    # Not str.splitlines, which also splits at characters that may occur in a text.
    lines = read_bytes(file).split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [_decode(line, file, number) for number, line in enumerate(lines, start=1)]


def _decode(line: bytes, file: Traversable, number: int) -> str:
    try:
        return line.removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file}:{number}: byte {error.start + 1} of the line is not UTF-8; save the file as UTF-8"
        ) from error
