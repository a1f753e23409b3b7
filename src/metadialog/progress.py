"""Progress of long computations: a bar in a terminal, plain lines elsewhere."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

_REFRESH_SECONDS = 0.2  # of the line in a notebook
LINES = 10  # plain lines for a whole computation, in addition to notable ones


class Report(Protocol):
    """Receives the progress of a computation."""

    def __call__(self, done: int, news: str = "", *, notable: bool = False) -> None:
        """Report progress.

        Args:
            done: number of finished units of work.
            news: latest values to show.
            notable: whether to print a line for it if there is no bar.
        """
        ...


@contextmanager
def progress(console: Console, title: str, total: int, done: int = 0) -> Iterator[Report]:
    """Show the progress of a computation of `total` units, of which `done` are done.

    It is a bar in a terminal, one changing line in a notebook, and a line now and then elsewhere.
    """
    if console.is_terminal and not console.quiet:
        with _bar(console) as bar:
            task = bar.add_task(title, total=total, completed=done, news="")
            yield lambda done, news="", notable=False: bar.update(task, completed=done, news=news)  # noqa: ARG005
    elif console.is_jupyter and not console.quiet:
        line = _ChangingLine(title, total, done)
        yield line
        line.close()
    else:
        yield _Lines(console, title, total, done)


def _bar(console: Console) -> Progress:
    """Return a one-line bar; if there is no room, first the latest values and then the bar are shortened."""
    fixed = Column(no_wrap=True)
    return Progress(
        TextColumn("{task.description}", table_column=fixed.copy()),
        BarColumn(bar_width=None, table_column=Column(max_width=24, min_width=6, ratio=1)),
        MofNCompleteColumn(table_column=fixed.copy()),
        TextColumn("{task.fields[news]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=3)),
        TimeElapsedColumn(table_column=Column(no_wrap=True, min_width=7)),
        TextColumn("left", table_column=Column(no_wrap=True, min_width=4)),
        TimeRemainingColumn(table_column=Column(no_wrap=True, min_width=7)),
        console=console,
        expand=True,
    )


def remaining(seconds: float) -> str:
    """Write a time in minutes and seconds, or in hours: `0:07`, `12:30`, `1:02:30`; rounded up."""
    whole = math.ceil(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


class _Timed:
    """Estimates the remaining time."""

    def __init__(self, total: int, done: int) -> None:
        self._total = total
        self._first = done
        self._started = time.monotonic()

    def left(self, done: int) -> str:
        """Return the remaining time; empty before any unit is done."""
        worked = done - self._first
        if worked == 0:
            return ""
        return f"left {remaining((time.monotonic() - self._started) / worked * (self._total - done))}"


class _ChangingLine:
    """One changing line in the output of a notebook cell."""

    def __init__(self, title: str, total: int, done: int) -> None:
        from IPython.display import display

        self._title = title
        self._total = total
        self._timed = _Timed(total, done)
        self._text = f"{title} {done}/{total}"
        self._shown = time.monotonic()
        self._handle = display(_Text(self._text), display_id=True)  # type: ignore[no-untyped-call]

    def __call__(self, done: int, news: str = "", *, notable: bool = False) -> None:  # noqa: ARG002 - one line for all
        self._text = f"{self._title} {done}/{self._total}  {news}  {self._timed.left(done)}".rstrip()
        if time.monotonic() - self._shown > _REFRESH_SECONDS:
            self.close()

    def close(self) -> None:
        """Show the latest values."""
        self._shown = time.monotonic()
        self._handle.update(_Text(self._text))


class _Text(str):
    """A string whose representation has no quotation marks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class _Lines:
    """Prints a line now and then, for log files and pipes."""

    def __init__(self, console: Console, title: str, total: int, done: int) -> None:
        self._console = console
        self._title = title
        self._total = total
        self._timed = _Timed(total, done)

    def __call__(self, done: int, news: str = "", *, notable: bool = False) -> None:
        if not notable and done % max(1, self._total // LINES) and done != self._total:
            return
        line = f"{self._title} {done}/{self._total}  {news}  {self._timed.left(done)}".rstrip()
        self._console.print(line, highlight=False)
