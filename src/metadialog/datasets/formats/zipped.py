"""Exports that come as a zip file, as those of WhatsApp on an iPhone, of Slack and of Dialogflow do."""

import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metadialog.errors import DataError
from metadialog.unpacked import MAX_RATIO, GrowsTooMuchError, check_archive


@contextmanager
def unzipped(path: Path, max_ratio: int = MAX_RATIO) -> Iterator[Path]:
    """Unpack a zip file into a temporary folder, called as the file is; yield any other path as it is.

    Raises:
        DataError: it is no whole zip file, is encrypted, or would become far larger; also what is raised inside, whose
            messages name the zip file.
    """
    if path.suffix.lower() != ".zip" or not path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / path.stem
        try:
            with path.open("rb") as file, zipfile.ZipFile(file) as archive:
                check_archive(file, max_ratio)
                archive.extractall(folder)
        except GrowsTooMuchError as error:
            raise DataError(f"{path}: is not unpacked: {error}, or raise dataset.max_ratio") from error
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
            raise DataError(
                f"{path}: cannot be unpacked: {error}; dataset.path may name the unpacked folder"
            ) from error
        try:
            yield _innermost(folder)
        except DataError as error:
            raise DataError(str(error).replace(str(folder), str(path))) from error


def _innermost(folder: Path) -> Path:
    """Return the folder itself, or what it holds alone: archives often hold all in one folder."""
    while True:
        visible = [entry for entry in folder.iterdir() if not entry.name.startswith((".", "__MACOSX"))]
        if len(visible) != 1 or not visible[0].is_dir():
            return folder
        folder = visible[0]
