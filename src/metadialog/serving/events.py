"""Server-sent events of replies and adaptations."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from metadialog.serving.adaptations import Adaptation
from metadialog.serving.batching import Batcher, PendingReply
from metadialog.serving.bodies import AdaptationBody, ReplyBody, finite

KEEP_ALIVE = 15.0
"""Interval in seconds of keep-alive lines to clients that follow an adaptation."""


def to_loop(pieces: "asyncio.Queue[tuple[str, bool]]") -> Callable[[str, bool], None]:
    """Return a function that puts pieces of a reply into a queue of the running loop, from any thread."""
    loop = asyncio.get_running_loop()

    def deliver(piece: str, ended: bool) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(pieces.put_nowait, (piece, ended))

    return deliver


async def reply_events(
    batcher: Batcher, pending: PendingReply, pieces: "asyncio.Queue[tuple[str, bool]]"
) -> AsyncIterator[str]:
    """Yield the pieces of a reply, and finally the reply or an error."""
    text, ended = "", False
    try:
        while not ended:
            piece, ended = await pieces.get()
            text += piece
            if piece:
                yield _event("token", {"text": piece})
        if pending.error is not None:
            yield _event("error", {"error": pending.error})
        else:
            yield _event("end", reply_body(text, pending).model_dump())
    finally:  # the client may have disconnected
        batcher.cancel([pending])


async def progress(adaptation: Adaptation) -> AsyncIterator[str]:
    """Yield the past and new events of an adaptation until it ends."""
    loop, changed = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(changed.set)

    adaptation.watchers.append(wake)
    status, shown = "", 0
    try:
        while True:
            changed.clear()
            body = AdaptationBody.of(adaptation)
            if body.status != status and body.status in ("waiting", "running"):
                yield _event("status", {"status": body.status})
            status = body.status
            for point in body.curve[shown:]:
                yield _event("point", point.model_dump())
            shown = len(body.curve)
            if status == "finished":
                yield _event("end", body.model_dump())
                return
            if status == "failed" or adaptation.cancelled:
                yield _event("error", {"error": body.error or "the adaptation was deleted"})
                return
            try:
                await asyncio.wait_for(changed.wait(), KEEP_ALIVE)
            except TimeoutError:
                yield ": nothing new\n\n"  # detects a disconnected client
    finally:
        adaptation.watchers.remove(wake)


async def whole_reply(reply: ReplyBody) -> AsyncIterator[str]:
    """Yield a reply as one piece, and then the reply."""
    yield _event("token", {"text": reply.text})
    yield _event("end", reply.model_dump())


def _event(name: str, data: Mapping[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def reply_body(text: str, pending: PendingReply) -> ReplyBody:
    """Return the body of a complete reply."""
    return ReplyBody(text=text, score=finite(pending.growing.score), tokens=len(pending.growing.tokens))
