"""Exports in zip files, such as those of WhatsApp on an iPhone, of Slack and of Dialogflow."""

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
    """Unpack a zip file into a temporary folder of the same name; yield any other path unchanged.

    Raises:
        DataError: it is damaged, encrypted or would become far larger; errors raised inside are changed to name the zip
            file.
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
    """Return the folder, or its only subfolder, as archives often contain a single folder."""
    while True:
        visible = [entry for entry in folder.iterdir() if not entry.name.startswith((".", "__MACOSX"))]
        if len(visible) != 1 or not visible[0].is_dir():
            return folder
        folder = visible[0]
