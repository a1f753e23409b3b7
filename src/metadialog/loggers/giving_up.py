"""Failures of logging services, which are reported once and must not stop training."""

import sys
from collections.abc import Callable


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
