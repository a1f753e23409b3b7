"""Tables in the terminal."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from metadialog.reports.comparison import Comparison
from metadialog.reports.grid import Cell, Grid
from metadialog.reports.words import legend, size


def terminal(comparison: Comparison, grids: Sequence[Grid]) -> Group:
    """Return the tables of scores, with what has to be known to read them."""
    return Group(*_parts(comparison, grids))


def _parts(comparison: Comparison, grids: Sequence[Grid]) -> Iterator[RenderableType]:
    yield Text(size(comparison))
    for grid in grids:
        yield Text(grid.title, style="italic")
        yield _table(grid)
    yield Text(legend(comparison))
    for line in comparison.warnings:
        yield Text(f"Beware. {line}", style="bold")


def _table(grid: Grid) -> Table:
    table = Table()
    table.add_column(Text(grid.corner))
    above = [text for text, count in grid.groups for _ in range(count)]
    for text, name in zip(above, grid.columns, strict=True):
        table.add_column(Text(f"{text}\n{name}"), justify="right")
    for name, cells in grid.rows:
        table.add_row(Text(name), *map(_cell, cells))  # Text: what a row is called is not markup
    return table


def _cell(cell: Cell | None) -> Text:
    if cell is None:
        return Text("-")
    ends = f"\n[{cell.low}, {cell.high}]" if cell.low else ""
    text = Text(f"{cell.mean}{' ≈' if cell.alike else ''}", style="bold" if cell.best else "")
    return text.append(ends, style="dim")
