"""The console that commands print to."""

import sys
from collections.abc import Iterable
from io import StringIO
from typing import Any, TextIO, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from metadialog.escapes import escaped

_UNBROKEN = 10_000  # columns, more than in any line


class _Replacing:
    """A stream that replaces characters it cannot encode by question marks instead of raising an error.

    Args:
        stream: stream to write to; None if the process has no output.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream or StringIO()

    def write(self, text: str) -> int:
        """Write a text; return its length."""
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        self._stream.write(text.encode(encoding, errors="replace").decode(encoding))
        return len(text)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute
        """Return an attribute of the stream."""
        return getattr(self._stream, name)


class _Console(Console):
    """Escapes control characters in texts, and raises BrokenPipeError instead of ending the process as rich does."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render a text or a table, with control characters and direction marks escaped."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(escaped(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        """Raise the current exception again."""
        raise  # noqa: PLE0704 - rich calls this within its `except BrokenPipeError`


def make_console(*, soft_wrap: bool = False, quiet: bool = False) -> Console:
    """Return a console as wide as the terminal; outside a terminal or notebook, lines are not wrapped.

    Args:
        soft_wrap: let the terminal wrap lines.
        quiet: print nothing.
    """
    file = cast("TextIO", _Replacing(sys.stdout))
    console = _Console(file=file, soft_wrap=soft_wrap, quiet=quiet, emoji=False)
    if console.is_terminal or console.is_jupyter:
        return console
    return _Console(file=file, width=_UNBROKEN, quiet=quiet, emoji=False)
