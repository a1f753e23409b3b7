"""Calls with a time limit."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


def within(seconds: float, call: Callable[[], Result]) -> Result:
    """Return what `call` returns, or raise what it raises.

    The call runs in a daemon thread, so that it cannot block the caller or the end of the program. A socket timeout
    would not cover name resolution or a very slow server.

    Raises:
        TimeoutError: it takes longer; it continues in the background.
    """
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001  (raised again where the result is awaited)
            future.set_exception(error)

    threading.Thread(target=run, name="metadialog-deadline", daemon=True).start()
    try:
        return future.result(timeout=seconds)
    except TimeoutError:
        if future.done():
            raise  # raised by the call itself
        raise TimeoutError(f"no answer within {seconds:g} s") from None
