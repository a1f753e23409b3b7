"""One file over HTTP: resumed where it broke off, and never taken for whole before it is."""

import hashlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from importlib import metadata
from pathlib import Path

import requests

from metadialog.downloads.sources import RemoteFile
from metadialog.errors import DataError

Report = Callable[[int, int | None], None]
"""Is told how many bytes are here, and how many there will be if the server says so."""

_CHUNK = 1 << 14  # what a broken connection loses at most
_TRANSIENT = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a server is waited for.

    Attributes:
        connect: seconds to reach it.
        read: seconds between two pieces of an answer.
        without_progress: attempts in a row that receive nothing before it is given up.
        attempts: attempts in all.
        pause: seconds before the second such attempt; doubled before each further one.
    """

    connect: float = 10.0
    read: float = 30.0
    without_progress: int = 5
    attempts: int = 100
    pause: float = 1.0


class _InterruptedError(Exception):
    """The transfer broke off, and may be tried again."""


def fetch(file: RemoteFile, target: Path, report: Report, patience: Patience | None = None) -> str:
    """Bring a file here; what an earlier attempt, or an earlier process, brought is not brought again.

    A server that says that its file has changed since (RFC 9110, If-Range) sends it again from the start. Proxies are
    taken from the environment. Until it is whole and its checksum is right, the file lies at `target` with `.part`
    added.

    Args:
        file: what to bring.
        target: where it goes; its folder exists.
        report: is told of the progress.
        patience: how long the server is waited for.

    Returns:
        The SHA-256 of the file, in hexadecimal.

    Raises:
        DataError: the file is not there, the server fails again and again, the checksum is wrong, or the file
            cannot be written here.
    """
    part = _Part(target, file.url)
    try:
        for _ in range(2):
            resumed = part.offset > 0
            resumed = _transfer(file, part, report, patience or Patience()) or resumed
            digest = sha256_of(part.path)
            if file.sha256 in (None, digest):
                part.finish()
                return digest
            part.discard()
            if not resumed:
                break
    except OSError as error:
        raise DataError(
            f"{target}: cannot be written: {error.strerror or error}; make room or choose cache="
        ) from error
    raise DataError(
        f"{file.url}: the checksum of what came is {digest}; it should be {file.sha256}: the file was damaged on its "
        f"way or replaced by its publisher, and was not kept"
    )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


class _Part:
    """The beginning of a file, with what the server said about the whole."""

    def __init__(self, target: Path, url: str) -> None:
        self.path = target.with_name(target.name + ".part")
        self._target = target
        self._notes = target.with_name(target.name + ".part.json")
        self._url = url
        self.validator: str | None = None
        self.total: int | None = None
        self._read_notes()

    @property
    def offset(self) -> int:
        """Number of bytes from which the server may go on: 0 where it has given no way to tell a change."""
        return self.path.stat().st_size if self.validator and self.path.exists() else 0

    @property
    def is_whole(self) -> bool:
        """Whether all bytes that the server announced are here."""
        return self.total is not None and self.offset == self.total

    def begin(self, response: requests.Response) -> None:
        """Start again with an answer that holds the whole file."""
        self.discard()
        self.validator = _validator(response)
        length = response.headers.get("Content-Length", "")
        encoded = "Content-Encoding" in response.headers
        self.total = int(length) if length.isdigit() and not encoded else None
        notes = {"url": self._url, "validator": self.validator, "total": self.total}
        self._notes.write_text(json.dumps(notes), encoding="utf-8")

    def discard(self) -> None:
        """Forget what is here."""
        self.path.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)
        self.validator = self.total = None

    def finish(self) -> None:
        """Give the whole file its name."""
        self.path.replace(self._target)
        self._notes.unlink(missing_ok=True)

    def _read_notes(self) -> None:
        try:
            notes = json.loads(self._notes.read_text(encoding="utf-8"))
            if notes["url"] == self._url:
                self.validator, self.total = notes["validator"], notes["total"]
        except (OSError, ValueError, KeyError, TypeError):
            self.validator = self.total = None


def _validator(response: requests.Response) -> str | None:
    """Return what If-Range may carry: a strong ETag, else the date of the last change (RFC 9110, 13.1.5)."""
    if "Content-Encoding" in response.headers:  # bytes of another representation than a range would give
        return None
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified")


def _transfer(file: RemoteFile, part: _Part, report: Report, patience: Patience) -> bool:
    """Bring the rest of a file; return whether any of it was resumed."""
    without_progress = 0
    for attempt in range(patience.attempts):
        if part.is_whole:
            return attempt > 0
        before = part.offset
        try:
            _attempt(file, part, report, patience)
        except (requests.RequestException, _InterruptedError) as error:
            without_progress = 0 if part.offset > before else without_progress + 1
            problem = _plain(error)
        else:
            return attempt > 0
        if without_progress >= patience.without_progress:
            break
        time.sleep(patience.pause * 2**without_progress / 2 if without_progress else 0)
    here = f"; the {part.offset:,} bytes that came are kept: run it again to go on" if part.offset else ""
    raise DataError(f"{file.url}: cannot be downloaded: {problem}{here}")


def _attempt(file: RemoteFile, part: _Part, report: Report, patience: Patience) -> None:
    headers = {"Accept-Encoding": "identity", "User-Agent": f"metadialog/{metadata.version('metadialog')}"}
    offset = part.offset
    if offset:
        headers |= {"Range": f"bytes={offset}-", "If-Range": str(part.validator)}
    timeout = (patience.connect, patience.read)
    with requests.get(file.url, headers=headers, stream=True, timeout=timeout) as response:
        _check_status(file, response)
        if response.status_code == HTTPStatus.PARTIAL_CONTENT and offset:
            _check_range(response, part, offset)
        elif response.status_code == HTTPStatus.OK:
            part.begin(response)
            offset = 0
        else:
            part.discard()
            raise _InterruptedError(f"it answered {response.status_code} to a request for bytes {offset}-")
        _append(file, part, response, offset, report)


def _check_status(file: RemoteFile, response: requests.Response) -> None:
    """Tell a failure that may pass from one that will not."""
    status = response.status_code
    answer = f"the server answered {status} {response.reason or ''}".rstrip()
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _TRANSIENT:
        raise _InterruptedError(answer)
    if status >= HTTPStatus.BAD_REQUEST and status != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        raise DataError(f"{file.url}: {answer}; bring the data by hand, and name their folder with dataset.root=")


def _check_range(response: requests.Response, part: _Part, offset: int) -> None:
    """Let only the very bytes that are missing be appended."""
    result = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if not result or int(result[1]) != offset or (result[2] != "*" and part.total not in (None, int(result[2]))):
        part.discard()
        raise _InterruptedError("it sent other bytes than were asked for")


def _append(file: RemoteFile, part: _Part, response: requests.Response, offset: int, report: Report) -> None:
    done = offset
    report(done, part.total)
    with part.path.open("ab") as out:
        for chunk in response.iter_content(_CHUNK):
            done += len(chunk)
            if done > file.max_bytes:
                out.close()
                part.discard()
                raise DataError(f"{file.url}: is longer than {file.max_bytes:,} bytes, the most that it should be")
            out.write(chunk)
            report(done, part.total)
    if part.total is not None and done != part.total:
        raise _InterruptedError(f"it ended after {done:,} of {part.total:,} bytes")


def _plain(error: Exception) -> str:
    """Say in one line what went wrong."""
    if isinstance(error, requests.Timeout):
        return "the server does not answer in time"
    return " ".join(str(error).split()) or type(error).__name__
