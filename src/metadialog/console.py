"""The console that commands write to."""

from rich.console import Console

_UNBROKEN = 10_000  # columns; more than any line has


class _Console(Console):
    """Passes on that the reader has gone, where rich would end the process on its own terms."""

    def on_broken_pipe(self) -> None:
        """Raise again what is being handled."""
        raise  # noqa: PLE0704 - rich calls this within its `except BrokenPipeError`


def make_console(*, soft_wrap: bool = False, quiet: bool = False) -> Console:
    """Return a console as wide as the terminal; where there is none, nothing is wrapped.

    Args:
        soft_wrap: leave it to the terminal to wrap.
        quiet: print nothing.
    """
    console = _Console(soft_wrap=soft_wrap, quiet=quiet)
    return console if console.is_terminal else _Console(width=_UNBROKEN, quiet=quiet)
