"""A log that fails must not stop a training: what fails is said once, and then the log is given up."""

import sys
from collections.abc import Callable


class GivesUp:
    """Runs calls of a service, until one fails.

    Args:
        service: what it is called.
    """

    def __init__(self, service: str) -> None:
        self._service = service
        self.failed = False

    def run(self, call: Callable[[], object]) -> None:
        """Run a call, unless an earlier one has failed; if it fails, say so in one line on stderr."""
        if self.failed:
            return
        try:
            call()
        except Exception as error:  # noqa: BLE001 - named in the line that is said
            self.failed = True
            cause = " ".join(f"{type(error).__name__}: {error}".split())
            sys.stderr.write(f"{self._service} fails ({cause}); the files in the run directory hold everything\n")
