"""A thread that generates all replies, in batches for concurrent requests of the same model."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from metadialog.inference.compute import computing
from metadialog.inference.decoding import Decoder, Growing, Text
from metadialog.inference.model import AdaptableModel
from metadialog.serving.limits import RefusedError, too_many

Deliver = Callable[[str, bool], None]
"""Receives the next piece of a reply, and whether the reply is complete."""


@dataclass(eq=False, slots=True)
class PendingReply:
    """A reply that a client waits for.

    Attributes:
        model: the model that replies.
        growing: the reply.
        deliver: called in the batcher's thread with each piece.
        cancelled: whether the client has disconnected.
        error: error that stopped it; None if there is none.
    """

    model: AdaptableModel
    growing: Growing
    deliver: Deliver
    cancelled: bool = False
    error: str | None = None
    text: Text = field(init=False)
    asked: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self.text = Text(self.model.tokenizer)


@dataclass(slots=True)
class Counts:
    """Totals of the batcher: tokens, replies, and seconds from request to first token."""

    tokens: int = 0
    replies: int = 0
    steps: int = 0
    first_tokens: int = 0
    first_token_seconds: float = 0.0


class Batcher:
    """Generates replies in a separate thread, one token of each at a time.

    Args:
        limit: maximum number of pending replies.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._changed = threading.Condition()
        self._new: list[PendingReply] = []
        self._active: dict[Growing, PendingReply] = {}
        self._decoders: dict[int, tuple[AdaptableModel, Decoder]] = {}
        self._stopped = False
        self.counts = Counts()
        self._thread = threading.Thread(target=self._work, name="replies", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """Return the number of pending replies."""
        return len(self._active) + len(self._new)

    def submit(self, replies: Sequence[PendingReply]) -> None:
        """Start replies.

        Raises:
            RefusedError: too many are pending; none of these is started.
        """
        with self._changed:
            if self._stopped:
                raise RefusedError(503, "the server is stopping")
            if len(self) + len(replies) > self.limit:
                raise too_many(self.limit)
            self._new += replies
            self._changed.notify()

    def cancel(self, replies: Sequence[PendingReply]) -> None:
        """Cancel replies; no more pieces of them are delivered."""
        for reply in replies:
            reply.cancelled = True

    def stop(self) -> None:
        """Stop the thread and all replies."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not (self._new or self._active or self._stopped):
                    self._changed.wait()
                if self._stopped:
                    return
                new, self._new = self._new, []
                self._active |= {reply.growing: reply for reply in new}
            for reply in new:
                self._guarded([reply], partial(self._begin, reply))
            for key, (model, decoder) in list(self._decoders.items()):
                rows = [reply for reply in self._active.values() if reply.model.module is model.module]
                worked = self._guarded(rows, partial(self._step, model, decoder))
                if not worked or not len(decoder):
                    del self._decoders[key]

    def _begin(self, reply: PendingReply) -> None:
        _, decoder = self._decoders.setdefault(
            id(reply.model.module), (reply.model, Decoder(reply.model.module, reply.model.tokenizer))
        )
        with computing(reply.model.equipment.threads):
            decoder.add([reply.growing])

    def _step(self, model: AdaptableModel, decoder: Decoder) -> None:
        gone = [row for row, reply in self._active.items() if reply.cancelled and reply.model.module is model.module]
        with computing(model.equipment.threads):
            decoder.remove(gone)
            rows = decoder.step()
        self.counts.steps += 1
        for row in gone:
            del self._active[row]
        for row in rows:
            self._hand_on(self._active[row])

    def _hand_on(self, reply: PendingReply) -> None:
        growing = reply.growing
        if len(growing.tokens) <= 1 and not growing.ended:
            self.counts.first_tokens += 1
            self.counts.first_token_seconds += time.perf_counter() - reply.asked
        self.counts.tokens += not growing.finished
        piece = reply.text.grow(growing.tokens)
        if growing.ended:
            self.counts.replies += 1
            del self._active[growing]
        if (piece or growing.ended) and not reply.cancelled:
            reply.deliver(piece, growing.ended)

    def _guarded(self, replies: Sequence[PendingReply], action: Callable[[], None]) -> bool:
        """Run an action for replies, and return whether it succeeded; if it fails, only these replies end."""
        try:
            action()
        except Exception as error:  # noqa: BLE001 - whatever it is, the thread has to go on
            for reply in replies:
                if self._active.pop(reply.growing, None) is not None:
                    reply.error = f"the reply could not be generated: {type(error).__name__}"
                    reply.deliver("", True)
            return False
        return True
