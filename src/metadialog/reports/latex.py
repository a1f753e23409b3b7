"""LaTeX tables with booktabs."""

import re
from collections.abc import Sequence

from metadialog.reports.comparison import Comparison
from metadialog.reports.differences import BASELINE_HEADER, baseline_title
from metadialog.reports.grid import Cell, Grid, Tables
from metadialog.reports.words import legend, size

_HEAD = "% For \\input in a document that loads booktabs and graphicx; each table has a label.\n"
_PREAMBLE = r"""% A document around table.tex.
\documentclass{article}
\usepackage[utf8]{inputenc}
\usepackage{booktabs}
\usepackage{graphicx}
\usepackage[margin=2cm]{geometry}
\begin{document}
"""
_ENVIRONMENT = r"""\begin{table}[htbp]
\centering
\caption{%s}
\label{tab:%s}
\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%%
\begin{tabular}{%s}
\toprule
%s
\midrule
%s
\bottomrule
\end{tabular}}
\end{table}
"""
_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "[": "{[}", '"': "''", "≈": r"$\approx$", "≥": r"$\geq$", "↑": r"$\uparrow$",
    "↓": r"$\downarrow$", "\N{MULTIPLICATION SIGN}": r"$\times$", "\N{RIGHT SINGLE QUOTATION MARK}": "'",
}  # fmt: skip
# Further characters of pdflatex's default fonts, which are always installed.
_LATIN = {*map(chr, range(0x20, 0x7F)), *map(chr, range(0xC0, 0x100))} - {*"ÐðÞþ", "\N{MULTIPLICATION SIGN}", "÷"}


DOCUMENT = _PREAMBLE + "\\input{table.tex}\n\\end{document}\n"
"""A document that includes `table.tex`."""


def latex(comparison: Comparison, tables: Tables) -> str:
    """Return `table.tex`: table environments for inclusion in a document."""
    caption = f"{size(comparison)} {legend(comparison)}"
    results = [grid_environment(grid, f"{grid.title}. {caption}") for grid in tables.scores]
    if tables.baseline:
        title = baseline_title(comparison)
        ends = f"In brackets: {comparison.settings.confidence:.0%} interval; paired by episode."
        results.append(_rows_environment(f"{title}. {ends}", title, BASELINE_HEADER, tables.baseline))
    results += [grid_environment(grid, f"{grid.title}.") for grid in tables.topics]
    return _HEAD + "\n".join(results)


def grid_environment(grid: Grid, caption: str) -> str:
    """Return a table environment."""
    rows = "\n".join(_row(name, cells) for name, cells in grid.rows)
    return _ENVIRONMENT % (escape(caption), label(grid.title), "l" + "r" * len(grid.columns), _header(grid), rows)


def _rows_environment(caption: str, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = "\n".join(f"{' & '.join(map(escape, row))} \\\\" for row in rows)
    names = f"{' & '.join(map(escape, header))} \\\\"
    return _ENVIRONMENT % (escape(caption), label(title), "lll" + "r" * (len(header) - 3), names, lines)


def label(title: str) -> str:
    """Return the label of a table: `held-out-topics-5-shots` of `tab:held-out-topics-5-shots`."""
    return re.sub(r"[^a-z0-9]+", "-", title.partition(", by")[0].lower()).strip("-")


def _row(name: str, cells: Sequence[Cell | None]) -> str:
    """Return a row with its intervals below it, to keep the table narrow."""
    row = f"{escape(name)} & {' & '.join(map(_mean, cells))} \\\\"
    ends = [_ends(cell) for cell in cells]
    return f"{row}\n & {' & '.join(ends)} \\\\[2pt]" if any(ends) else row


def _header(grid: Grid) -> str:
    groups, rules, at = [], [], 2
    for text, count in grid.groups:
        groups.append(f"\\multicolumn{{{count}}}{{c}}{{{escape(text)}}}")
        rules.append(f"\\cmidrule(lr){{{at}-{at + count - 1}}}")
        at += count
    names = " & ".join(f"\\multicolumn{{1}}{{c}}{{{escape(name)}}}" for name in grid.columns)
    return f" & {' & '.join(groups)} \\\\\n{' '.join(rules)}\n{escape(grid.corner)} & {names} \\\\"


def escape(text: str) -> str:
    """Escape a text for LaTeX; characters that pdflatex's fonts lack are shown as code points.

    An opening bracket is put in braces, as at the beginning of a row it would be an argument of the previous line end.
    """
    return "".join(_SPECIAL.get(sign, sign if sign in _LATIN else f"{{[}}U+{ord(sign):04X}]") for sign in text)


def _mean(cell: Cell | None) -> str:
    if cell is None:
        return "--"
    mean = f"\\textbf{{{_number(cell.mean, bold=True)}}}" if cell.best else _number(cell.mean)
    return mean + (r"\,$\approx$" if cell.alike else "")


def _ends(cell: Cell | None) -> str:
    return f"{{\\scriptsize [{_number(cell.low)}, {_number(cell.high)}]}}" if cell and cell.low else ""


def _number(text: str, *, bold: bool = False) -> str:
    match = re.fullmatch(r"(-?[\d.]+)e(-?\d+)", text)
    if match:
        power = rf"{match[1]} \times 10^{{{match[2]}}}"
        return rf"$\mathbf{{{power}}}$" if bold else f"${power}$"
    return f"${text}$" if text.startswith("-") else text
