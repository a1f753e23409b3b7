"""Running a chat template, a program of somebody else's: its sandbox bounds neither time nor memory."""

import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

SECONDS = 20
MAX_BYTES = 512 * 2**20
"""Of memory, above what this process has."""
MAX_CHARACTERS = 2**20
"""Of the text."""


def bounded(make: Callable[[], str]) -> str | None:
    """Return the text that a function makes; None if it raises anything, or takes too much.

    It runs in a child process that the system ends where it takes more than `SECONDS` or `MAX_BYTES`. Where there are
    no such processes, as on Windows, it runs in this one.
    """
    if not sys.platform.startswith("linux"):
        try:
            return make()
        except Exception:  # noqa: BLE001 - a template may raise anything
            return None
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: the child uses none of them, and ends in time
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
    """Write the text to the parent, and end without anything that Python does at an end."""
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
