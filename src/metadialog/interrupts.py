"""Handling of SIGINT and SIGTERM: they raise an exception, except within critical sections."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from metadialog.errors import Terminated

ENDING_SECONDS = 10.0
"""Time in which the program ends in order; further signals are ignored meanwhile."""


@dataclass(slots=True)
class _State:
    passages: int = 0
    pending: KeyboardInterrupt | None = None
    raised: KeyboardInterrupt | None = None
    ignored_until: float = 0.0


_state = _State()


@contextmanager
def interruptible() -> Iterator[None]:
    """Handle SIGTERM, as sent by batch systems, like Ctrl-C, and each of them only once.

    Launchers send a signal to a whole group of processes and then to each of them; signals that arrive while the
    program ends are ignored. Outside the main thread, where Python allows no handlers, this does nothing.

    Raises:
        KeyboardInterrupt: a signal arrived. If a library swallowed it or turned it into another error, as an
            unfinished import does, the resulting error is replaced by the interrupt.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    resume()
    try:
        yield
    except Exception as error:
        if _state.raised is None or time.monotonic() > _state.ignored_until:
            raise
        raise _state.raised from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def resume() -> None:
    """Treat the last signal as handled, so that the next one counts; called where the program goes on after one."""
    _state.raised, _state.ignored_until = None, 0.0


@contextmanager
def deferred() -> Iterator[None]:
    """Defer signals until a short critical section has ended.

    Outside the main thread this does nothing, as Python handles signals only in the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.passages += 1
    try:
        yield
    finally:
        _state.passages -= 1
        if _state.passages == 0 and _state.pending is not None:
            error, _state.pending = _state.pending, None
            _unwind(error)


def _on_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - so it is called
    if time.monotonic() < _state.ignored_until:
        return
    error = Terminated(f"by signal {number}") if number == signal.SIGTERM else KeyboardInterrupt()
    if _state.passages:
        _state.pending = error
    else:
        _unwind(error)


def _unwind(error: KeyboardInterrupt) -> None:
    _state.raised = error
    _state.ignored_until = time.monotonic() + ENDING_SECONDS
    raise error
