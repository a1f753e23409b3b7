"""Handling of SIGINT and SIGTERM: they raise an exception, except within critical sections."""

import _thread
import inspect
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from metadialog.errors import Terminated

ENDING_SECONDS = 10.0
"""Time in which the program ends in order; further signals are ignored meanwhile."""

_AGAIN_SECONDS = 0.02
_IMPORTING = "<frozen importlib._bootstrap>"  # the file name of the frames of an import


@dataclass(slots=True)
class _State:
    passages: int = 0
    pending: KeyboardInterrupt | None = None
    raised: KeyboardInterrupt | None = None
    ignored_until: float = 0.0
    imports_outside: int = 0


_state = _State()


@contextmanager
def interruptible() -> Iterator[None]:
    """Handle SIGTERM, as sent by batch systems, like Ctrl-C, and each of them only once.

    Launchers send a signal to a whole group of processes and then to each of them; signals that arrive while the
    program ends are ignored. A signal that arrives during an import takes effect after it, as a module that is half
    imported breaks what runs later; one that Python could not raise, as in a destructor, is delivered again. Outside
    the main thread, where Python allows no handlers, this does nothing.

    Raises:
        KeyboardInterrupt: a signal arrived. If a library swallowed it or turned it into another error, the resulting
            error is replaced by the interrupt.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    resume()
    imports_outside, _state.imports_outside = _state.imports_outside, _count_imports(inspect.currentframe())
    unraisable, sys.unraisablehook = sys.unraisablehook, _redeliver_unraisable(sys.unraisablehook)
    before = {number: signal.signal(number, _on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except Exception as error:
        if _state.raised is None or time.monotonic() > _state.ignored_until:
            raise
        raise _state.raised from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = unraisable
        _state.imports_outside = imports_outside


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


def _on_signal(number: int, frame: FrameType | None) -> None:
    if time.monotonic() < _state.ignored_until:
        return
    if _count_imports(frame) > _state.imports_outside:
        _deliver_again(number)
        return
    error = Terminated(f"by signal {number}") if number == signal.SIGTERM else KeyboardInterrupt()
    if _state.passages:
        _state.pending = error
    else:
        _unwind(error)


def _count_imports(frame: FrameType | None) -> int:
    count = 0
    while frame is not None:
        count += frame.f_code.co_filename == _IMPORTING
        frame = frame.f_back
    return count


def _deliver_again(number: int) -> None:
    main_thread = threading.get_ident()  # handlers and hooks of signals run there

    def wait_and_send() -> None:
        time.sleep(_AGAIN_SECONDS)
        signal.pthread_kill(main_thread, number)

    # Not threading.Thread: it takes locks, which the interrupted code may hold.
    _thread.start_new_thread(wait_and_send, ())


def _redeliver_unraisable(report: Callable[["sys.UnraisableHookArgs"], object]) -> Callable[..., object]:
    """Return a hook that delivers an interrupt again if Python could not raise it, and reports any other error."""

    def hook(unraisable: "sys.UnraisableHookArgs") -> object:
        error = unraisable.exc_value
        if error is None or error is not _state.raised:
            return report(unraisable)
        resume()
        _deliver_again(signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)
        return None

    return hook


def _unwind(error: KeyboardInterrupt) -> None:
    _state.raised = error
    _state.ignored_until = time.monotonic() + ENDING_SECONDS
    raise error
