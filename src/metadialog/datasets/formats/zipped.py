"""Exports that come as a zip file, as those of WhatsApp on an iPhone, of Slack and of Dialogflow do."""

import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metadialog.errors import DataError
from metadialog.unpacked import GrowsTooMuchError, most_unpacked


@contextmanager
def unzipped(path: Path) -> Iterator[Path]:
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
            with zipfile.ZipFile(path) as archive:
                most = most_unpacked(path.stat().st_size)
                if sum(member.file_size for member in archive.infolist()) > most:
                    raise GrowsTooMuchError(most)
                archive.extractall(folder)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
            raise DataError(
                f"{path}: cannot be unpacked: {error}; dataset.path may name the unpacked folder"
            ) from error
        try:
            yield folder
        except DataError as error:
            raise DataError(str(error).replace(str(folder), str(path))) from error
