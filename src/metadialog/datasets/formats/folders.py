"""Folders with files of several formats, or with files that are not read."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from metadialog.datasets.formats.base import Format, visible_files
from metadialog.datasets.formats.detection import FORMATS
from metadialog.datasets.formats.records import ENDINGS as RECORDS
from metadialog.errors import DataError

_WHOLE = ("slack", "telegram", "dialogflow", "rasa")
"""Formats of whole folders, as a program exports them: other files in them are attachments or settings."""

_SKIPPED = (("whatsapp", ".txt"), ("table", ".txt"), *product(("botpress", "rasa_tracker"), RECORDS))
"""Formats whose readers find nothing in a file of no format with this ending, and do not complain."""

_SAME = {"openai": "json", "sharegpt": "json"}
"""Formats that are read in the same way."""


@dataclass(frozen=True, slots=True)
class Contents:
    """The files of a folder that a format does not read; empty if a file was given.

    Attributes:
        others: files of other formats, with the format's name.
        left_out: files that the reader has to be told to leave out.
        not_read: all files that are not read.
    """

    others: Mapping[Path, str]
    left_out: frozenset[Path]
    not_read: tuple[Path, ...]


NOTHING = Contents({}, frozenset(), ())


def contents(path: Path, chosen: Format) -> Contents:
    """Return the files of a folder that a format does not read.

    If no file is detected as the chosen format, it was set because the detection is wrong, and all files with its
    endings are read.
    """
    if not path.is_dir():
        return NOTHING
    files = visible_files(path)
    readable = [file for file in files if file.suffix.lower() in chosen.endings]
    kinds = {} if chosen.name in _WHOLE else {file: _kind(file) for file in files}
    name = _SAME.get(chosen.name, chosen.name)
    if name not in kinds.values():
        return Contents({}, frozenset(), tuple(file for file in files if file not in set(readable)))
    others = {file: kind for file, kind in kinds.items() if kind not in (None, name)}
    unknown = [file for file in readable if kinds[file] is None and (chosen.name, file.suffix.lower()) in _SKIPPED]
    left_out = frozenset([*others, *unknown])
    read = set(readable) - left_out
    return Contents(others, left_out, tuple(file for file in files if file not in read))


def check_one_format(path: Path, detected: Format, found: Contents) -> None:
    """Check that a folder has no files of another format than the detected one.

    Raises:
        DataError: it has.
    """
    if not found.others:
        return
    by_format: defaultdict[str, list[str]] = defaultdict(list)
    for file, name in found.others.items():
        by_format[name].append(file.relative_to(path).as_posix())
    listed = "; ".join(f"{name}: {_some(files)}" for name, files in sorted(by_format.items()))
    raise DataError(
        f"{path}: was taken for {detected.title}, but holds files of other formats as well ({listed}); dataset.format="
        f"{detected.name} reads those of one format, or dataset.path should name a folder of one format"
    )


def not_read_line(path: Path, files: tuple[Path, ...]) -> str:
    """Return a line about files of a folder that are not read."""
    return f"not read: {_some([file.relative_to(path).as_posix() for file in files], 5)}"


def _kind(file: Path) -> str | None:
    """Return the name of the format of a single file; None if it has none."""
    ending = file.suffix.lower()
    name = next((made.name for made in FORMATS.values() if ending in made.endings and made.detect(file)), None)
    return None if name is None else _SAME.get(name, name)


def _some(names: list[str], most: int = 2) -> str:
    further = len(names) - most
    return ", ".join(names[:most]) + (f" and {further:,} more" if further > 0 else "")
