"""HTTP with a time limit for receiving requests, so that slow clients cannot hold connections."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class PromptProtocol(H11Protocol):
    """uvicorn's HTTP protocol with a time limit for receiving a request, from its first to its last byte.

    uvicorn limits the idle time between requests, but not the time of receiving one, so that a few hundred slow clients
    could use all connections (slow loris).
    """

    headers_within = 20.0
    """Seconds from the connection, or the first byte of a later request, to the end of its headers."""
    body_within = 120.0
    """Seconds from there to the end of the body."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.deadline: asyncio.TimerHandle | None = None
        self._waits_for: object = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Process received data, and wait for the rest of the request, if any."""
        super().data_received(data)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        state = self.conn.their_state
        if state is self._waits_for and self.deadline is not None:
            return  # more bytes do not extend the limit
        self._stop()
        seconds = {h11.IDLE: self.headers_within, h11.SEND_BODY: self.body_within}.get(state)
        if seconds is not None and not self.transport.is_closing():
            self._waits_for = state
            self.deadline = self.loop.call_later(seconds, self._give_up)

    def _stop(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None

    def _give_up(self) -> None:
        self.deadline = None
        if not self.transport.is_closing():
            self.transport.close()
