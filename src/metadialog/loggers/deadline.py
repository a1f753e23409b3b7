"""A call that may hang, with an end to the waiting."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


def within(seconds: float, call: Callable[[], Result]) -> Result:
    """Return what `call` returns, or raise what it raises.

    The call runs in a daemon thread, so that neither the wait nor the end of the program depends on it: a
    socket's own timeout covers neither name resolution nor a server that sends a byte now and then.

    Raises:
        TimeoutError: it took longer than that; it goes on in the background.
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
            raise  # the call's own
        raise TimeoutError(f"no answer within {seconds:g} s") from None
