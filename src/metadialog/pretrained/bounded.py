"""Execution of untrusted chat templates with limits of time and memory, which their sandbox does not have."""

import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

SECONDS = 20
MAX_BYTES = 512 * 2**20
"""Limit of memory in addition to that of this process."""
MAX_CHARACTERS = 2**20
"""Limit of the length of the text."""


def bounded(make: Callable[[], str]) -> str | None:
    """Return the text of a function; None if it fails or exceeds the limits.

    It runs in a child process with limits of `SECONDS` and `MAX_BYTES`, or in this process if there is no `fork`, as on
    Windows.
    """
    if not sys.platform.startswith("linux"):
        try:
            return make()
        except Exception:  # noqa: BLE001 - a template may raise anything
            return None
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about threads, which the child does not use
        child = os.fork()
    if child == 0:
        _child(make, reader, writer)
    os.close(writer)
    try:
        with os.fdopen(reader, encoding="utf-8", errors="replace") as file:
            text = file.read(MAX_CHARACTERS + 1)
    finally:
        _, status = os.waitpid(child, 0)
    return text if status == 0 and len(text) <= MAX_CHARACTERS else None


def _child(make: Callable[[], str], reader: int, writer: int) -> NoReturn:
    """Write the text to the parent, and exit without cleanup."""
    import resource

    code = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(SECONDS)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + MAX_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        os.close(reader)
        with os.fdopen(writer, "w", encoding="utf-8", errors="replace") as file:
            file.write(make())
        code = 0
    finally:
        os._exit(code)
