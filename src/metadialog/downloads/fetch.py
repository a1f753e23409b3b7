"""Download of a file over HTTP, with resumption and checks of completeness."""

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
"""Receives the number of downloaded bytes, and the total if known."""

_CHUNK = 1 << 14  # maximum loss of a broken connection
_TRANSIENT = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}


@dataclass(frozen=True, slots=True)
class Patience:
    """Time limits and retries.

    Attributes:
        connect: time limit to connect, seconds.
        read: time limit between parts of a response, seconds.
        without_progress: maximum number of consecutive attempts without data.
        attempts: maximum number of attempts.
        pause: seconds before the second such attempt; doubled before each further one.
    """

    connect: float = 10.0
    read: float = 30.0
    without_progress: int = 5
    attempts: int = 100
    pause: float = 1.0


class _InterruptedError(Exception):
    """The transfer was interrupted and may be retried."""


def fetch(file: RemoteFile, target: Path, report: Report, patience: Patience | None = None) -> str:
    """Download a file, resuming an earlier attempt.

    If the file has changed on the server (RFC 9110, If-Range), it is sent again from the start. Proxies are taken from
    the environment. Until it is complete and its checksum is verified, the file has the suffix `.part`.

    Args:
        file: file to download.
        target: path to write; its folder exists.
        report: receives the progress.
        patience: time limits and retries.

    Returns:
        The SHA-256 of the file, in hexadecimal.

    Raises:
        DataError: the file does not exist, the server fails repeatedly, the checksum is wrong, or the file cannot be
            written.
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
        f"{file.url}: the checksum of the downloaded file is {digest}; it should be {file.sha256}: the file "
        f"was damaged on its way or replaced by its publisher, and was not kept"
    )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


class _Part:
    """A partial file, with the server's information about the complete one."""

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
        """Offset for resuming: 0 if the server gave no validator."""
        return self.path.stat().st_size if self.validator and self.path.exists() else 0

    @property
    def is_whole(self) -> bool:
        """Whether all bytes that the server announced are here."""
        return self.total is not None and self.offset == self.total

    def begin(self, response: requests.Response) -> None:
        """Start again with a response of the complete file."""
        self.discard()
        self.validator = _validator(response)
        length = response.headers.get("Content-Length", "")
        encoded = "Content-Encoding" in response.headers
        self.total = int(length) if length.isdigit() and not encoded else None
        notes = {"url": self._url, "validator": self.validator, "total": self.total}
        self._notes.write_text(json.dumps(notes), encoding="utf-8")

    def discard(self) -> None:
        """Discard the partial file."""
        self.path.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)
        self.validator = self.total = None

    def finish(self) -> None:
        """Rename the complete file."""
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
    """Return the validator for If-Range: a strong ETag, else the date of the last change (RFC 9110, 13.1.5)."""
    if "Content-Encoding" in response.headers:  # a range would refer to a different representation
        return None
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified")


def _transfer(file: RemoteFile, part: _Part, report: Report, patience: Patience) -> bool:
    """Download the rest of a file; return whether it was resumed."""
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
    here = f"; the {part.offset:,} bytes received so far are kept: run it again to continue" if part.offset else ""
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
    """Distinguish temporary from permanent failures."""
    status = response.status_code
    answer = f"the server answered {status} {response.reason or ''}".rstrip()
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _TRANSIENT:
        raise _InterruptedError(answer)
    if status >= HTTPStatus.BAD_REQUEST and status != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        raise DataError(f"{file.url}: {answer}; download the data by hand, and name their folder with dataset.root=")


def _check_range(response: requests.Response, part: _Part, offset: int) -> None:
    """Check that the response contains exactly the missing bytes."""
    result = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if not result or int(result[1]) != offset or (result[2] != "*" and part.total not in (None, int(result[2]))):
        part.discard()
        raise _InterruptedError("it sent other bytes than requested")


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
    """Describe an error on one line."""
    if isinstance(error, requests.Timeout):
        return "the server does not answer in time"
    return " ".join(str(error).split()) or type(error).__name__
