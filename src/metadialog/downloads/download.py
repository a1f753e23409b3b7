"""Download of published data sets to the cache."""

import json
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from textwrap import fill

from filelock import FileLock
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from metadialog.downloads.copies import FILES, folder_of
from metadialog.downloads.fetch import Patience, Report, fetch, sha256_of
from metadialog.downloads.sources import RemoteFile, Source, sources
from metadialog.downloads.unpack import unpack
from metadialog.errors import ConfigError, DataError

ABOUT = "about.txt"
RECORD = "download.json"


def download(name: str, cache: Path, console: Console, patience: Patience | None = None) -> Path:
    """Download a data set unless it is in the cache, after printing its description and licence.

    Concurrent processes wait for the first one.

    Args:
        name: name of the source.
        cache: cache folder, which is created if missing.
        console: console for the licence and the progress.
        patience: time limits and retries.

    Returns:
        The folder of the data. Next to it are the licence and citation, and a record of the download.

    Raises:
        ConfigError: the source is unknown.
        DataError: it cannot be downloaded or written, or is damaged.
    """
    source = sources().get(name)
    if source is None:
        raise ConfigError(f"download=true: there is no source {name}; sources: {', '.join(sorted(sources()))}")
    folder = folder_of(name, cache)
    console.print(about(source), highlight=False, markup=False)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{name}.lock")):
            if (folder / FILES).is_dir():
                console.print(f"already downloaded: {folder / FILES}", highlight=False, markup=False, soft_wrap=True)
            else:
                _bring(source, folder, console, patience)
                console.print(f"downloaded: {folder / FILES}", highlight=False, markup=False, soft_wrap=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written: {error.strerror or error}; choose another cache=") from error
    return folder / FILES


def about(source: Source) -> str:
    """Return the description of a data set, printed before the download and stored with it."""
    addresses = [file.url for file in source.files]
    lines = [
        source.title,
        f"  page:     {source.page}",
        f"  licence:  {source.licence}",
        fill(source.citation, 110, initial_indent="  citation: ", subsequent_indent=" " * 12, break_on_hyphens=False),
        f"  from:     {addresses[0]}",
        *(f"            {address}" for address in addresses[1:]),
    ]
    return "\n".join(lines)


def _bring(source: Source, folder: Path, console: Console, patience: Patience | None) -> None:
    """Fetch and unpack everything to a temporary folder, and rename it."""
    parts = folder.with_name(f".{folder.name}.partial")
    parts.mkdir(exist_ok=True)
    here = [parts / f"{number}-{file.name}" for number, file in enumerate(source.files)]
    record = []
    with _progress(console) as progress:
        for file, path in zip(source.files, here, strict=True):
            digest = sha256_of(path) if path.exists() else None
            if digest is None or file.sha256 not in (None, digest):
                digest = fetch(file, path, _reporter(progress, file.name), patience)
            record.append({"url": file.url, "sha256": digest, "bytes": path.stat().st_size})
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as name:
        made = Path(name) / folder.name
        for file, path in zip(source.files, here, strict=True):
            into = made / FILES / file.into
            into.mkdir(parents=True, exist_ok=True)
            _lay_out(file, path, into)
        (made / ABOUT).write_text(about(source) + "\n", encoding="utf-8")
        when = datetime.now(UTC).isoformat(timespec="seconds")
        (made / RECORD).write_text(json.dumps({"time": when, "files": record}, indent=2) + "\n", encoding="utf-8")
        made.rename(folder)
    shutil.rmtree(parts)


def _lay_out(file: RemoteFile, path: Path, into: Path) -> None:
    if not file.archive:
        shutil.copyfile(path, into / file.name)
        return
    try:
        unpack(path, file, into)
    except DataError as error:
        path.unlink()  # so that the next attempt downloads it again
        raise DataError(f"{file.url}: {str(error).removeprefix(f'{path}: ')}; it was not kept") from error


def _reporter(progress: Progress, name: str) -> Report:
    task = progress.add_task(name, total=None)
    return lambda done, total: progress.update(task, completed=done, total=total)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=console)
