"""Entry point of the console script and of `python -m metadialog`, with a handler for Ctrl-C during imports.

While modules are being imported, KeyboardInterrupt would be raised inside a library, with a traceback or, where Python
cannot raise it, such as in a destructor, without effect.
"""

import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130  # exit code of a program ended by SIGINT, as in shells
TERMINATED = 143  # and by SIGTERM


def main() -> int:
    """Run the command line; return the exit code."""
    signal.signal(signal.SIGINT, _leave)  # until a command installs its own handler
    from metadialog.cli import main as run

    code = run()
    if code in (INTERRUPTED, TERMINATED):
        _silence()
    return code


def _silence() -> None:
    """Discard what libraries that were interrupted half-way print while the interpreter shuts down."""
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - so it is called
    os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, b"metadialog: interrupted\n")
    os._exit(INTERRUPTED)
