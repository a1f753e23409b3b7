"""Tables in Markdown."""

from collections.abc import Iterable, Sequence

from metadialog.reports.comparison import Comparison
from metadialog.reports.differences import BASELINE_HEADER, HEADER, baseline_title
from metadialog.reports.grid import Cell, Grid, Tables
from metadialog.reports.words import commands, legend, methods, size, varied_lines


def markdown(comparison: Comparison, tables: Tables) -> str:
    """Return `table.md`."""
    parts = [f"# {escape(tables.title)}", escape(size(comparison))]
    parts += [f"**Beware.** {line}" for line in comparison.warnings]
    for grid in tables.scores:
        parts += [f"## {escape(grid.title)}", table(grid), escape(legend(comparison))]
    if tables.baseline:
        parts += [f"## {escape(baseline_title(comparison))}", _table(BASELINE_HEADER, tables.baseline, 3)]
    if tables.differences:
        parts += [f"## Differences from the best, {comparison.last_words}", _table(HEADER, tables.differences, 3)]
    for grid in tables.topics:
        parts += [f"## {escape(grid.title)}", table(grid)]
    parts += ["## How it was computed", _list(f"**{name}**: {escape(text)}" for name, text in methods(comparison))]
    if tables.notes:
        parts += ["## Notes", _list(map(escape, tables.notes))]
    if comparison.varied:
        parts += ["## Options in which the rows differ", _list(map(escape, varied_lines(comparison)))]
    parts += ["## Commands", "\n".join(f"    {' '.join(command.split())}" for command in commands(comparison))]
    return "\n\n".join(parts) + "\n"


def table(grid: Grid) -> str:
    """Return a table; group headers become part of the column names."""
    above = [text for text, count in grid.groups for _ in range(count)]
    plain = len(grid.groups) == 1
    names = [name if plain else f"{text}, {name}" for text, name in zip(above, grid.columns, strict=True)]
    rows = [(escape(name), *(_cell(cell) for cell in cells)) for name, cells in grid.rows]
    return _table((grid.corner, *names), rows, 1, escaped=True)


def escape(text: str) -> str:
    """Escape a text for Markdown."""
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
