"""The folder of the cache, and its entries: folders that are created atomically, also with concurrent processes."""

import json
import logging
import os
import shutil
import tempfile
import time
import zlib
from atexit import register
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import platformdirs

from metadialog.errors import ConfigError, DataError

ENVIRONMENT = "METADIALOG_CACHE"
"""Environment variable with the cache folder, used if no option sets it."""

SEAL = "sealed.json"
"""File in each entry with the length and the CRC-32 of its files."""

_UNFINISHED = ".unfinished"
_STALE_SECONDS = 24 * 3600
_CHUNK = 1 << 20

_log = logging.getLogger(__name__)

Build = Callable[[Path], None]
"""Writes the files of an entry into an empty folder."""


def cache_directory(option: str | None = None) -> Path:
    """Return the cache folder, which need not exist yet.

    It is the folder in the option, else that in the environment variable METADIALOG_CACHE, else `metadialog` in the
    user's cache folder (on Linux $XDG_CACHE_HOME, or ~/.cache).

    Raises:
        ConfigError: the path begins with `~user`, and there is no such home folder.
    """
    chosen = option or os.environ.get(ENVIRONMENT)
    if not chosen:
        return platformdirs.user_cache_path("metadialog")
    try:
        return Path(chosen).expanduser().absolute()
    except RuntimeError as error:
        raise ConfigError(f"cache={chosen}: there is no such home folder; write the path in full") from error


def entry(folder: Path, build: Build) -> Path:
    """Return a folder of the cache; build it if it is missing or damaged.

    It is built elsewhere and renamed when complete, so that others never see a partial entry. If two processes build
    the same entry, both use the first one. If the cache is not writable, the entry is built in a temporary folder that
    lives as long as the process.

    Args:
        folder: path of the entry; its name contains the key.
        build: builds the entry.

    Raises:
        DataError: there is no space for it, or building fails.
    """
    if folder.is_dir():
        damage = find_damage(folder)
        if damage is None:
            return folder
        _log.warning("%s is damaged (%s), and is built again", folder, damage)
        _remove(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder.parent)
        with _unfinished(folder) as made:
            build(made)
            _seal(made)
            _publish(made, folder)
    except OSError as error:
        problem = error.strerror or error
        _log.warning("%s cannot be written (%s): what belongs there is built for this run alone", folder, problem)
        return temporary(build)
    return folder


def temporary(build: Build) -> Path:
    """Build an entry for this process, which is removed when the process ends.

    Raises:
        DataError: there is no space for it, or building fails.
    """
    try:
        made = Path(tempfile.mkdtemp(prefix="metadialog-"))
        register(shutil.rmtree, made, ignore_errors=True)
        build(made)
    except OSError as error:
        problem = error.strerror or error
        raise DataError(f"{tempfile.gettempdir()}: cannot be written: {problem}; make room, or set TMPDIR") from error
    return made


def find_damage(folder: Path) -> str | None:
    """Return the damage of an entry; None if its files are unchanged."""
    try:
        sealed = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        paths = [folder / name for name in sealed]
        with ThreadPoolExecutor() as pool:
            for path, expected, result in zip(paths, sealed.values(), pool.map(_checksum, paths), strict=True):
                if result != expected:
                    return f"{path.name} is not as it was written"
    except (OSError, ValueError, AttributeError) as error:
        return " ".join(str(error).split())
    return None


def _seal(folder: Path) -> None:
    checksums = {path.name: _checksum(path) for path in sorted(folder.iterdir())}
    (folder / SEAL).write_text(json.dumps(checksums), encoding="utf-8")


def _checksum(path: Path) -> list[int]:
    """Return the length and the CRC-32 of a file."""
    crc = length = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            crc = zlib.crc32(chunk, crc)
            length += len(chunk)
    return [length, crc]


def _publish(made: Path, folder: Path) -> None:
    try:
        made.rename(folder)
    except OSError:
        if find_damage(folder) is not None:  # not replaced by another process
            raise


@contextmanager
def _unfinished(folder: Path) -> Iterator[Path]:
    made = folder.with_name(f"{folder.name}.{uuid4().hex}{_UNFINISHED}")
    made.mkdir()
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _remove(folder: Path) -> None:
    """Remove an entry; processes that have it open can still read it."""
    aside = folder.with_name(f"{folder.name}.{uuid4().hex}{_UNFINISHED}")
    try:
        folder.rename(aside)
    except OSError:  # removed by another process, or not permitted, which building will report
        return
    shutil.rmtree(aside, ignore_errors=True)


def _remove_leftovers(parent: Path) -> None:
    """Remove partial entries of killed processes."""
    for path in parent.glob(f"*{_UNFINISHED}"):
        try:
            if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
        except OSError:  # removed already
            continue
