"""Tables in the terminal."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from metadialog.reports.comparison import Comparison
from metadialog.reports.differences import BASELINE_HEADER, baseline_title
from metadialog.reports.grid import Cell, Grid
from metadialog.reports.words import legend, size


def terminal(comparison: Comparison, grids: Sequence[Grid], baseline: Sequence[Sequence[str]] = ()) -> Group:
    """Return the tables of scores with a legend."""
    return Group(*_parts(comparison, grids, baseline))


def _parts(
    comparison: Comparison, grids: Sequence[Grid], baseline: Sequence[Sequence[str]]
) -> Iterator[RenderableType]:
    yield Text(size(comparison))
    for grid in grids:
        yield Text(grid.title, style="italic")
        yield _table(grid)
    yield Text(legend(comparison))
    if baseline:
        yield Text(baseline_title(comparison), style="italic")
        table = Table(*BASELINE_HEADER)
        for row in baseline:
            table.add_row(*map(Text, row))
        yield table
    for line in comparison.warnings:
        yield Text(f"Beware. {line}", style="bold")


def _table(grid: Grid) -> Table:
    table = Table()
    table.add_column(Text(grid.corner))
    above = [text for text, count in grid.groups for _ in range(count)]
    for text, name in zip(above, grid.columns, strict=True):
        table.add_column(Text(f"{text}\n{name}"), justify="right")
    for name, cells in grid.rows:
        table.add_row(Text(name), *map(_cell, cells))  # Text, as a row's name is not markup
    return table


def _cell(cell: Cell | None) -> Text:
    if cell is None:
        return Text("-")
    ends = f"\n[{cell.low}, {cell.high}]" if cell.low else ""
    text = Text(f"{cell.mean}{' ≈' if cell.alike else ''}", style="bold" if cell.best else "")
    return text.append(ends, style="dim")
