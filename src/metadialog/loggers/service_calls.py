"""Calls of logging services: with a time limit, and until one fails, so that no service can stop training."""

import sys
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


class GivesUp:
    """Runs calls of a service until one fails.

    Args:
        service: name of the service.
    """

    def __init__(self, service: str) -> None:
        self._service = service
        self.failed = False

    def run(self, call: Callable[[], object]) -> None:
        """Run a call, unless an earlier one has failed; if it fails, print one line to stderr."""
        if self.failed:
            return
        try:
            call()
        except Exception as error:  # noqa: BLE001 - named in the line that is said
            self.failed = True
            cause = " ".join(f"{type(error).__name__}: {error}".split())
            sys.stderr.write(f"{self._service} fails ({cause}); the files in the run directory hold everything\n")
