"""The adaptations of all clients, run one after another in a thread and kept while there is room."""

import queue
import secrets
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from metadialog.datasets.dialogue import Dialogue
from metadialog.errors import MetadialogError
from metadialog.inference.adapting import HeldOut, divide
from metadialog.inference.model import AdaptableModel
from metadialog.inference.results import CurvePoint
from metadialog.serving.limits import RefusedError
from metadialog.text import counted

Status = Literal["waiting", "running", "finished", "failed"]

_REMEMBERED = 100_000
"""Number of dropped adaptations that are remembered, for error messages."""


class _CancelledError(Exception):
    """The adaptation was cancelled by the client."""


@dataclass(eq=False, slots=True)
class Adaptation:
    """An adaptation.

    Attributes:
        id: random identifier; a client that knows it may use and delete the adaptation.
        model_id: name of the original model.
        parent: the original model.
        dialogues: dialogues of the request.
        steps: number of inner steps; None to choose it.
        held_out: number of held-out dialogues.
        max_steps: maximum number of inner steps where they are chosen.
        status: current status.
        curve: adaptation curve so far.
        adapted: the adapted model, once it is finished.
        error: why it failed.
        refusal: error for requests of the adapted model; None for the default of `Adaptations.adapted`.
        cancelled: whether it has been deleted.
        watchers: functions that are called after each change, in any thread.
    """

    model_id: str
    parent: AdaptableModel
    dialogues: Sequence[Dialogue]
    steps: int | None
    held_out: HeldOut
    max_steps: int
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    status: Status = "waiting"
    curve: list[CurvePoint] = field(default_factory=list)
    adapted: AdaptableModel | None = None
    error: str | None = None
    refusal: RefusedError | None = None
    cancelled: bool = False
    watchers: list[Callable[[], None]] = field(default_factory=list)

    def tell(self) -> None:
        """Call the watchers after a change."""
        for watcher in list(self.watchers):
            watcher()


class Adaptations:
    """Runs adaptations, and keeps the adapted models.

    Args:
        waiting: maximum number of waiting or running adaptations.
        kept: maximum number of adaptations to keep; beyond it the least recently used one is dropped.
        mib: maximum memory of all kept adaptations, MiB; beyond it the same.
    """

    def __init__(self, waiting: int, kept: int, mib: float) -> None:
        self._waiting = waiting
        self._kept = kept
        self._mib = mib
        self._lock = threading.Lock()
        self._all: OrderedDict[str, Adaptation] = OrderedDict()  # ordered by last use
        self._dropped: OrderedDict[str, str] = OrderedDict()  # the limit of each
        self._queue: queue.Queue[Adaptation | None] = queue.Queue()
        self._pending: deque[Adaptation] = deque()
        self.finished = 0
        self.dropped = 0
        self._thread = threading.Thread(target=self._work, name="adaptations", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """Return the number of kept adaptations."""
        return len(self._all)

    @property
    def pending(self) -> int:
        """Number of waiting or running adaptations."""
        return len(self._pending)

    def submit(self, adaptation: Adaptation) -> None:
        """Start or enqueue an adaptation.

        Raises:
            RefusedError: too many are waiting.
        """
        with self._lock:
            if sum(not one.cancelled for one in self._pending) >= self._waiting:
                raise RefusedError(
                    429, f"the server takes {counted(self._waiting, 'adaptation')} at once; try again in a moment"
                )
            self._pending.append(adaptation)
            self._all[adaptation.id] = adaptation
        self._queue.put(adaptation)

    def get(self, name: str) -> Adaptation:
        """Return an adaptation, and mark it as used.

        Raises:
            RefusedError: there is none of this name, or it has been dropped.
        """
        with self._lock:
            result = self._all.get(name)
            if result is None and name in self._dropped:
                raise RefusedError(
                    410,
                    f"the adaptation was dropped: the server keeps {self._dropped[name]}, and it was used least "
                    "recently; adapt again",
                )
            if result is None:
                raise RefusedError(404, "there is no such adaptation")
            self._all.move_to_end(name)
            return result

    def adapted(self, name: str) -> AdaptableModel:
        """Return an adapted model.

        Raises:
            RefusedError: there is none of this name, or it has not finished.
        """
        adaptation = self.get(name)
        if adaptation.refusal is not None:
            raise adaptation.refusal
        if adaptation.adapted is None:
            words = f"failed: {adaptation.error}" if adaptation.status == "failed" else f"is {adaptation.status}"
            raise RefusedError(409, f"the adaptation {words}")
        return adaptation.adapted

    def delete(self, name: str) -> None:
        """Cancel or delete an adaptation.

        Raises:
            RefusedError: there is none of this name.
        """
        result = self.get(name)
        with self._lock:
            result.cancelled = True
            result.dialogues = ()  # it may still be in the queue
            self._all.pop(name, None)
        result.tell()

    def stop(self) -> None:
        """Stop the thread and its adaptation."""
        with self._lock:
            pending = list(self._pending)
        for adaptation in pending:
            adaptation.cancelled = True
            adaptation.tell()
        self._queue.put(None)
        self._thread.join()

    def _make_room(self) -> None:
        """Drop the least recently used adaptations; waiting and running ones do not count."""
        done = [one for one in self._all.values() if one not in self._pending]
        while len(done) > self._kept:
            self._drop(done.pop(0), counted(self._kept, "adaptation"))
        sizes = [0 if one.adapted is None else one.adapted.own_bytes for one in done]
        while sum(sizes) > self._mib * 2**20:
            self._drop(done.pop(0), f"{self._mib:g} MiB of adaptations")
            sizes.pop(0)

    def _drop(self, adaptation: Adaptation, limit: str) -> None:
        del self._all[adaptation.id]
        self._dropped[adaptation.id] = limit
        self.dropped += 1
        if len(self._dropped) > _REMEMBERED:
            self._dropped.popitem(last=False)

    def _work(self) -> None:
        while (adaptation := self._queue.get()) is not None:
            try:
                if not adaptation.cancelled:
                    self._adapt(adaptation)
            except _CancelledError:
                pass
            except MetadialogError as error:
                adaptation.error, adaptation.status = str(error), "failed"
            except Exception as error:  # noqa: BLE001 - whatever it is, the thread has to go on
                adaptation.error, adaptation.status = f"it could not be done: {type(error).__name__}", "failed"
            finally:
                adaptation.dialogues = ()
                with self._lock:
                    self._pending.remove(adaptation)
                    if adaptation.id in self._all:
                        self._all.move_to_end(adaptation.id)  # so that it is not dropped before it is requested
                    self._make_room()
                adaptation.tell()

    def _adapt(self, adaptation: Adaptation) -> None:
        def on_step(point: CurvePoint) -> None:
            if adaptation.cancelled:
                raise _CancelledError
            adaptation.curve.append(point)
            adaptation.tell()

        adaptation.status = "running"
        adaptation.tell()
        division = divide(adaptation.dialogues, adaptation.held_out, seed=0)
        adapted = adaptation.parent.adapt(
            division.support,
            adaptation.steps,
            held_out=division.held_out or None,
            on_step=on_step,
            max_steps=adaptation.max_steps,
        )
        if adapted.own_bytes > self._mib * 2**20:
            adaptation.refusal = RefusedError(
                507,
                f"the adapted model takes {adapted.own_bytes / 2**20:,.1f} MiB; the server keeps {self._mib:g} MiB of "
                "adaptations",
            )
            adaptation.error, adaptation.status = adaptation.refusal.sentence, "failed"
            return
        adaptation.adapted = adapted
        adaptation.status = "finished"
        self.finished += 1
