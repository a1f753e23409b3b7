"""Tables in Markdown."""

from collections.abc import Iterable, Sequence

from metadialog.reports.comparison import Comparison
from metadialog.reports.differences import HEADER
from metadialog.reports.grid import Cell, Grid
from metadialog.reports.words import commands, legend, methods, size, varied_lines


def markdown(
    comparison: Comparison,
    grids: Sequence[Grid],
    topics: Sequence[Grid],
    differences: Sequence[Sequence[str]],
    notes: Sequence[str],
) -> str:
    """Return `table.md`.

    Args:
        comparison: the numbers.
        grids: the tables of scores.
        topics: the tables of topics.
        differences: the rows of the table of differences.
        notes: what else the reader should know, a sentence each.
    """
    parts = [f"# {escape(comparison.dataset)}", escape(size(comparison))]
    parts += [f"**Beware.** {line}" for line in comparison.warnings]
    for grid in grids:
        parts += [f"## {escape(grid.title)}", table(grid), escape(legend(comparison))]
    if differences:
        parts += [f"## Differences from the best, {comparison.last_words}", _table(HEADER, differences, 3)]
    for grid in topics:
        parts += [f"## {escape(grid.title)}", table(grid)]
    parts += ["## How it was computed", _list(f"**{name}**: {escape(text)}" for name, text in methods(comparison))]
    if notes:
        parts += ["## Notes", _list(map(escape, notes))]
    if comparison.varied:
        parts += ["## Options in which the rows differ", _list(map(escape, varied_lines(comparison)))]
    parts += ["## Commands", "\n".join(f"    {' '.join(command.split())}" for command in commands(comparison))]
    return "\n\n".join(parts) + "\n"


def table(grid: Grid) -> str:
    """Return a table; what stands above its columns goes into each of their names."""
    above = [text for text, count in grid.groups for _ in range(count)]
    plain = len(grid.groups) == 1
    names = [name if plain else f"{text}, {name}" for text, name in zip(above, grid.columns, strict=True)]
    rows = [(escape(name), *(_cell(cell) for cell in cells)) for name, cells in grid.rows]
    return _table((grid.corner, *names), rows, 1, escaped=True)


def escape(text: str) -> str:
    """Let Markdown show a text as it is."""
    for sign in "\\`*_[]<>|":
        text = text.replace(sign, f"\\{sign}")
    return text


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], names: int, *, escaped: bool = False) -> str:
    """Return a table whose first columns are names, and the others numbers."""
    lines = [f"| {' | '.join(map(escape, header))} |"]
    lines.append("|" + "---|" * names + "---:|" * (len(header) - names))
    lines += [f"| {' | '.join(row if escaped else map(escape, row))} |" for row in rows]
    return "\n".join(lines)


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    mean = f"**{cell.mean}**" if cell.best else f"{cell.mean}{' ≈' if cell.alike else ''}"
    return f"{mean} \\[{cell.low}, {cell.high}\\]" if cell.low else mean


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
