"""Local copies of published data sets: a folder or a zip file, read as the publisher laid it out."""

import zipfile
import zlib
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from io import BytesIO
from pathlib import Path
from typing import Annotated

from annotated_types import MinLen

from metadialog.errors import ConfigError, DataError
from metadialog.unpacked import GrowsTooMuchError, check_member

Root = Annotated[str, MinLen(1)]
"""The option `root` of every published data set: the path of a local copy; None for the downloaded one."""

ABOUT = ("readme", "license", "licence", "changelog")
"""Files that say what a folder is, and are no data."""

_NAMED = 3
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def expand(path: str, option: str) -> Path:
    """Return the path that an option gives, with `~` for the home folder.

    Raises:
        ConfigError: it begins with `~user`, and there is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{option}={path}: there is no such home folder; write the path in full") from error


def refuse_special(path: Path, option: str) -> None:
    """Refuse what would block or never end when it is read: a FIFO, a socket or a device.

    Raises:
        DataError: it is one. That there is nothing, or a file or folder, is left to whoever reads it.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise DataError(f"{option}={path}: is a FIFO, a socket or a device; it should be a regular file")


class LocalCopy:
    """A folder, or a zip file that is read where it is; what a message calls a file is its path in either.

    A folder that holds nothing but a zip file is read as this one.
    """

    def __init__(self, root: str | None, publication: str) -> None:
        """Name the copy; nothing is read yet.

        Args:
            root: path of the folder or of the zip file; None if none is named, and nothing can be read.
            publication: what should be there, for the messages.

        Raises:
            ConfigError: the path begins with `~user`, and there is no such home folder.
        """
        self.path = None if root is None else expand(root, "dataset.root")
        self._publication = publication

    def folders(self) -> Iterator[Traversable]:
        """Yield the top of the copy, then the folders in it, by name: archives often hold all in one folder.

        Raises:
            DataError: there is no folder and no zip file at the path.
        """
        top = self._open()
        yield top
        yield from (entry for entry in listing(top) if entry.is_dir())

    def find(self, *names: str) -> Traversable | None:
        """Return the first file or folder that has one of the names, in the top or in a folder of it."""
        for folder in self.folders():
            for name in names:
                result = folder / name
                if result.is_file() or result.is_dir():
                    return result
        return None

    def need(self, *names: str) -> Traversable:
        """Return what `find` finds.

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
        """Say which zip files a folder holds, if it holds several: one of them may be meant."""
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
            if len(entries) == 1 and _is_archive(entries[0]):  # downloaded, and not unpacked
                return open_folder(top / entries[0].name, remedy)
        return top


def _is_archive(entry: Traversable) -> bool:
    return entry.name.lower().endswith(".zip") and entry.is_file()


def open_folder(path: Path, remedy: str) -> Traversable:
    """Return a folder, or the inside of a zip file, to be read like one.

    Raises:
        DataError: there is neither; the message ends with the remedy.
    """
    try:
        if path.is_dir():
            return path
        if not path.is_file():
            raise DataError(f"{path}: there is no such folder or zip file; {remedy}")
        return zipfile.Path(path)
    except zipfile.BadZipFile as error:
        raise DataError(f"{path}: is neither a folder nor a whole zip file ({error}); {remedy}") from error
    except (OSError, ValueError, RuntimeError) as error:  # a name with a null byte, an archive of a newer kind
        raise DataError(f"{path}: cannot be read: {error}; {remedy}") from error


def inside(archive: Traversable) -> Traversable:
    """Return the top of a zip file, which may lie in another one.

    Raises:
        DataError: it cannot be read, or is no whole zip file.
    """
    try:
        file = zipfile.ZipFile(BytesIO(read_bytes(archive)))
        file.filename = str(archive)  # for the messages
        return zipfile.Path(file)
    except (zipfile.BadZipFile, ValueError, OSError, RuntimeError) as error:
        raise DataError(f"{archive}: is not a whole zip file: {error}; it should be as published") from error


def listing(folder: Traversable) -> list[Traversable]:
    """Return what a folder holds, by name; hidden files, such as those that systems leave, are no data.

    Raises:
        DataError: it cannot be listed.
    """
    try:
        results = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}; it should be a folder") from error
    return sorted(results, key=lambda entry: entry.name)


def read_bytes(file: Traversable) -> bytes:
    """Return what a file holds, less a byte order mark.

    Raises:
        DataError: it cannot be read.
    """
    try:
        check_member(file)
        return file.read_bytes().removeprefix(_BYTE_ORDER_MARK)
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}; it should be a file") from error
    except GrowsTooMuchError as error:
        raise DataError(f"{file}: is not read: {error}") from error
    except (KeyError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        # What Python says of a damaged or encrypted member of a zip file.
        problem = " ".join(str(error).split())
        raise DataError(f"{file}: cannot be read: {problem}; it should be a whole file") from error


def read_lines(file: Traversable) -> list[str]:
    """Return the lines of a text file in UTF-8, without their ends (which may be those of Windows).

    Raises:
        DataError: it cannot be read, or is not UTF-8; the message names the line.
    """
    # Not str.splitlines, which also splits at characters that may stand within a text.
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
