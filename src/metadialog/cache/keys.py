"""Keys of cache entries: digests of everything that an entry depends on."""

import hashlib
import inspect
import json
import os
import sys
import unicodedata
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from types import ModuleType

from metadialog.errors import DataError


def key(**parts: object) -> str:
    """Return the digest of named, JSON-compatible values."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def digest_files(paths: Iterable[Path]) -> dict[str, str]:
    """Return the digest of the content of each file; a folder stands for all files in it except hidden ones.

    Raises:
        DataError: one of them cannot be read.
    """
    files = [file for path in paths for file in _files(path)]
    try:
        with ThreadPoolExecutor() as pool:
            return dict(zip(map(str, files), pool.map(_digest, files), strict=True))
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from error


def digest_code(modules: Iterable[str | ModuleType]) -> dict[str, str]:
    """Return the digest of the source of modules, and of the Python version.

    Args:
        modules: modules or their names; a package stands for all modules in it.
    """
    digests = {"python": sys.version, "unicode": unicodedata.unidata_version}
    for named in modules:
        module = import_module(named) if isinstance(named, str) else named
        for folder in getattr(module, "__path__", []):
            digests |= {f"{module.__name__}/{path.name}": _digest(path) for path in sorted(Path(folder).glob("*.py"))}
        source = inspect.getsourcefile(module)
        if source and Path(source).is_file():
            digests[module.__name__] = _digest(Path(source))
    return digests


def _files(path: Path) -> list[Path]:
    """Return a file, or all files in a folder, following links."""
    if not path.is_dir():
        return [path] if path.exists() else []
    results = []
    been = set()
    for folder, folders, names in os.walk(path, followlinks=True):
        real = os.path.realpath(folder)
        folders[:] = [] if real in been else sorted(name for name in folders if not name.startswith("."))
        results += [Path(folder, name) for name in names if not (name.startswith(".") or real in been)]
        been.add(real)
    return sorted(file for file in results if file.is_file())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
