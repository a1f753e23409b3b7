"""What the console script and `python -m metadialog` start: Ctrl-C ends it in one line from the first moment on.

While the program is being imported, KeyboardInterrupt would be raised somewhere in a library, with a traceback or,
where Python cannot raise it, such as in a destructor, with no effect.
"""

import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130  # as a shell reports a program that SIGINT ended


def main() -> int:
    """Run the command line; return the exit code."""
    signal.signal(signal.SIGINT, _leave)  # until a command has what is to be done in order
    from metadialog.cli import main as run

    return run()


def _leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - so it is called
    os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, b"metadialog: interrupted\n")
    os._exit(INTERRUPTED)
