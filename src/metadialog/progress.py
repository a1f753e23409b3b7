"""How a long computation shows that it is alive: a bar on a terminal, plain lines elsewhere."""

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

LINES = 10  # plain lines of a whole computation, beside those that carry news


class Report(Protocol):
    """Takes what a computation has to tell."""

    def __call__(self, done: int, news: str = "", *, notable: bool = False) -> None:
        """Say how far it is.

        Args:
            done: units of work that are done.
            news: the latest figures.
            notable: worth a line of its own where there is no bar.
        """
        ...


@contextmanager
def progress(console: Console, title: str, total: int, done: int = 0) -> Iterator[Report]:
    """Show the progress of a computation of `total` units, of which `done` are done."""
    if console.is_terminal:
        with _bar(console) as bar:
            task = bar.add_task(title, total=total, completed=done, news="")
            yield lambda done, news="", notable=False: bar.update(task, completed=done, news=news)  # noqa: ARG005
    else:
        yield _Lines(console, title, total, done)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[news]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )


class _Lines:
    """A line now and then, for log files and pipes."""

    def __init__(self, console: Console, title: str, total: int, done: int) -> None:
        self._console = console
        self._title = title
        self._total = total
        self._first = done
        self._started = time.monotonic()

    def __call__(self, done: int, news: str = "", *, notable: bool = False) -> None:
        if not notable and done % max(1, self._total // LINES) and done != self._total:
            return
        self._console.print(f"{self._title} {done}/{self._total}  {news}  {self._left(done)}", highlight=False)

    def _left(self, done: int) -> str:
        worked = done - self._first
        if worked == 0:
            return ""
        seconds = (time.monotonic() - self._started) / worked * (self._total - done)
        return f"left {int(seconds) // 60}:{int(seconds) % 60:02d}"
