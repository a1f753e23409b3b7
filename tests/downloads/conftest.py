"""A publisher's server on the loopback interface, with configurable faults."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from metadialog.downloads.fetch import Patience

IMPATIENT = Patience(connect=2, read=2, without_progress=3, attempts=20, pause=0.001)


@dataclass
class Publisher:
    """The published files, and the behaviour of the server.

    Attributes:
        files: contents by path.
        cut: numbers of bytes after which the next responses are cut off, in order.
        statuses: status codes of the next responses, which have no content.
        ranges: whether it supports range requests.
        tags: whether it sends ETags.
        lengths: whether it sends lengths.
        requests: the Range header of each request so far, or "".
    """

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    cut: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: bool = True
    tags: bool = True
    lengths: bool = True
    lies_about_ranges: bool = False
    requests: list[str] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"{self.address}/{path}"


@pytest.fixture
def impatient() -> Patience:
    return IMPATIENT


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    published = Publisher()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer(self, published)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    published.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield published
    server.shutdown()
    server.server_close()
    thread.join(timeout=5)


def answer(handler: BaseHTTPRequestHandler, published: Publisher) -> None:
    asked = handler.headers.get("Range", "")
    published.requests.append(asked)
    handler.close_connection = True
    path = handler.path.lstrip("/")
    if published.statuses:
        return empty(handler, published.statuses.pop(0))
    if path not in published.files:
        return empty(handler, 404)
    content = published.files[path]
    tag = f'"{hashlib.md5(content).hexdigest()}"'  # noqa: S324
    start = 0
    if asked and published.ranges and handler.headers.get("If-Range") == tag:
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= len(content):
            return empty(handler, 416)
    handler.send_response(206 if start else 200)
    if start:
        first = start - 1 if published.lies_about_ranges else start
        handler.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
    if published.tags:
        handler.send_header("ETag", tag)
    if published.lengths:
        handler.send_header("Content-Length", str(len(content) - start))
    handler.send_header("Connection", "close")
    handler.end_headers()
    end = published.cut.pop(0) if published.cut else len(content)
    handler.wfile.write(content[start:end])
    return None


def empty(handler: BaseHTTPRequestHandler, status: int) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", "0")
    handler.end_headers()
