"""Checks of every request: its size, origin and token."""

import asyncio
import json
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN_PATHS = ("/", "/docs", "/healthz")
"""Paths that are public, in addition to those below `/static/`."""

_MOST_PASSED_OVER = 2**28  # bytes of a refused request that are read
_PATIENCE = 10.0  # seconds

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class _TooLargeError(Exception):
    pass


class Guard:
    """Refuses requests that are too large, come from another site, or lack the token.

    Args:
        app: application that handles accepted requests.
        limit: maximum size of a request, bytes.
        token: token that clients must send; None for none.
        hosts: allowed host names of the server; None for all.
        count: called with the path and status code of each response.
    """

    def __init__(
        self,
        app: ASGIApp,
        limit: int,
        token: str | None,
        hosts: tuple[str, ...] | None,
        count: Callable[[str, int], None],
    ) -> None:
        self._app = app
        self._limit = limit
        self._token = token
        self._hosts = hosts
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on or refuse a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._count(scope["path"], message["status"])
            await send(message)

        if (refused := self._refusal(scope["path"], headers)) is not None:
            if refused[0] == 413:
                await _pass_over(receive)
            await _answer(counted, *refused)
            return
        read = 0

        async def limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._limit:
                raise _TooLargeError
            return message

        async def unless_too_large(message: Message) -> None:
            if read <= self._limit:  # otherwise the application's response to the error is replaced
                await counted(message)

        with suppress(_TooLargeError):
            await self._app(scope, limited, unless_too_large)
        if read > self._limit:
            await _answer(counted, 413, self._too_large(scope["path"]))

    def _refusal(self, path: str, headers: dict[str, str]) -> tuple[int, str] | None:
        host = _host(headers.get("host", ""))
        if self._hosts is not None and host not in self._hosts:
            return 403, f"{host[:100]!r} is not a name of this server; use 127.0.0.1 or localhost"
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != headers.get("host"):
            return 403, "the request was sent by a page of another site"
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._limit:
            return 413, self._too_large(path)
        if self._token is None or path in OPEN_PATHS or path.startswith("/static/"):
            return None
        given = headers.get("authorization", "").removeprefix("Bearer ")
        if not secrets.compare_digest(given.encode(), self._token.encode()):
            return 401, "the token is missing or wrong; send it as the header Authorization: Bearer TOKEN"
        return None

    def _too_large(self, path: str) -> str:
        smaller = "a shorter context" if path == "/v1/replies" else "fewer or shorter dialogues"
        return f"the request is larger than {self._limit / 2**20:g} MiB; send {smaller}"


def _host(header: str) -> str:
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:  # an unbalanced bracket
        return header


async def _pass_over(receive: Receive) -> None:
    """Read and discard the rest of a request, within bounds, so that the client sees the response."""
    read = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            while read < _MOST_PASSED_OVER:
                message = await receive()
                read += len(message.get("body", b""))
                if not message.get("more_body", False):
                    break


async def _answer(send: Send, status: int, sentence: str) -> None:
    body = json.dumps({"error": sentence}).encode()
    headers: list[Any] = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
