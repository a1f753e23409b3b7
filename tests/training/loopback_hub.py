"""A local server with the part of the Hugging Face hub's interface that `hf upload` and `hf download` need."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

COMMIT = "0" * 40


@dataclass
class Hub:
    """The state of the server.

    Attributes:
        url: URL of the server.
        files: contents by repository and path.
        cards: metadata of the cards that it was asked to check.
        unknown: unsupported requests.
    """

    url: str
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    cards: list[dict[str, Any]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def _answer(self, content: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _file(self, repository: str, path: str) -> None:
        content = self.hub.files[repository].get(path)
        if content is None:
            self._answer({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
        else:
            self._answer(content, headers={"ETag": f'"{_digest(content)}"', "X-Repo-Commit": COMMIT})

    def do_HEAD(self) -> None:
        """Respond as to GET, without the content."""
        self.do_GET()

    def do_GET(self) -> None:
        """Return a file, or the list of files."""
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        match parts:
            case ["api", "models", owner, name, *_] if "tree" not in parts:
                files = self.hub.files.get(f"{owner}/{name}", {})
                siblings = [{"rfilename": path} for path in files]
                self._answer({"id": f"{owner}/{name}", "sha": COMMIT, "siblings": siblings, "private": False})
            case ["api", "models", owner, name, "tree", *_]:
                files = self.hub.files.get(f"{owner}/{name}", {})
                self._answer([{"type": "file", "path": p, "size": len(c), "oid": _digest(c)} for p, c in files.items()])
            case [owner, name, "resolve", _, *path]:
                self._file(f"{owner}/{name}", "/".join(path))
            case _:
                self._unknown()

    def do_POST(self) -> None:
        """Create a repository, check a card, or accept a commit."""
        size = int(self.headers.get("Content-Length") or 0)
        content = self.rfile.read(size)
        match urlsplit(self.path).path.strip("/").split("/"):
            case ["api", "repos", "create"]:
                name = json.loads(content)["name"]
                repository = f"{json.loads(content).get('organization') or 'me'}/{name}"
                self.hub.files.setdefault(repository, {})
                self._answer({"url": f"{self.hub.url}/{repository}", "id": repository})
            case ["api", "validate-yaml"]:
                self.hub.cards.append(yaml.safe_load(json.loads(content)["content"].split("---")[1]))
                self._answer({"errors": [], "warnings": []})
            case ["api", "models", _, _, "preupload", _]:
                files = json.loads(content)["files"]
                self._answer(
                    {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]}
                )
            case ["api", "models", owner, name, "commit", _]:
                for line in map(json.loads, content.splitlines()):
                    if line["key"] == "file":
                        value = line["value"]
                        self.hub.files[f"{owner}/{name}"][value["path"]] = base64.b64decode(value["content"])
                self._answer(
                    {
                        "success": True,
                        "commitOid": COMMIT,
                        "commitUrl": f"{self.hub.url}/{owner}/{name}/commit/{COMMIT}",
                    }
                )
            case _:
                self._unknown()

    def _unknown(self) -> None:
        self.hub.unknown.append(f"{self.command} {self.path}")
        self._answer({"error": "not found"}, 404)


def _digest(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()  # noqa: S324 - as in git


@contextmanager
def loopback_hub() -> Iterator[Hub]:
    """A running hub."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    handler.hub = Hub(f"http://127.0.0.1:{server.server_address[1]}")  # type: ignore[attr-defined]
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield handler.hub  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
