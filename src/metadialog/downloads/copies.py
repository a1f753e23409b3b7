"""Locations of downloaded data sets."""

from pathlib import Path

from metadialog.errors import DataError

FILES = "files"


def folder_of(name: str, cache: Path) -> Path:
    """Return the folder of a source in the cache, with the data in its subfolder `FILES`."""
    return cache / "downloads" / name


def downloaded(name: str, cache: Path) -> Path:
    """Return the folder of a data set that has been downloaded.

    Args:
        name: name of the source.
        cache: the cache folder.

    Raises:
        DataError: it has not been downloaded; the message says how to do it.
    """
    folder = folder_of(name, cache) / FILES
    if not folder.is_dir():
        dataset = name.partition("-")[0]
        raise DataError(
            f"dataset {name}: there is no downloaded copy in {folder.parent}; run metadialog data dataset={dataset} "
            f"download=true with the other options of dataset as here, or name the folder of a local copy with "
            f"dataset.root="
        )
    return folder
