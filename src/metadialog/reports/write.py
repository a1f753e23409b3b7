"""Everything that `metadialog table` writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from pandas.api.types import is_numeric_dtype

from metadialog.reports.comparison import Comparison
from metadialog.reports.compute import compute_figure, costs
from metadialog.reports.differences import baseline_rows, difference_rows
from metadialog.reports.figures import curves_figure, shots_figure, style, topics_figure
from metadialog.reports.forest import difference_curves_figure, forest_figure
from metadialog.reports.grid import Grid, Tables, score_grids, topic_grids
from metadialog.reports.latex import DOCUMENT, latex
from metadialog.reports.markdown import markdown
from metadialog.reports.page import Picture, page
from metadialog.reports.reach import reach_grids
from metadialog.reports.samples import samples_of
from metadialog.reports.words import title
from metadialog.runs.atomic import write_atomically
from metadialog.statistics.comparison import CHOSEN
from metadialog.statistics.metrics import Metric

_FORMULA = ("=", "+", "-", "@", "\t", "\r")

REPORT = "report.html"
_BASELINE_TABLE = "differences_from_baseline.csv"

NO_COST = "cost.png is left out: not every run holds a cost.json with its meta_train cost."

_SOMETIMES = {
    *(f"{name}.{kind}" for name in ("cost", "forest", "difference_curves") for kind in ("png", "pdf")),
    _BASELINE_TABLE,
}
"""Files that are not in every report."""
_UNDATED: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""Metadata that are fixed, so that the same runs give the same files."""


@dataclass(frozen=True, slots=True)
class Report:
    """A rendered comparison.

    Attributes:
        comparison: the comparison.
        grids: tables of scores.
        baseline: rows of the table of differences from the baseline.
        files: name -> content.
    """

    comparison: Comparison
    grids: Sequence[Grid]
    baseline: Sequence[Sequence[str]]
    files: Mapping[str, bytes]

    @property
    def without_cost(self) -> bool:
        """Whether the costs of runs are missing."""
        return "cost.png" not in self.files

    def write(self, directory: Path) -> None:
        """Write the files into a directory, each atomically; other files are kept."""
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            write_atomically(directory / name, content)
        for name in _SOMETIMES - set(self.files):  # so that none of an earlier report is left
            (directory / name).unlink(missing_ok=True)


def render(
    comparison: Comparison,
    metrics: Sequence[Metric],
    shots: Sequence[int] | None,
    steps: Sequence[int] | None,
    command: str,
    skipped: Sequence[str],
) -> Report:
    """Render all files without writing them.

    Args:
        comparison: the comparison.
        metrics: metrics shown as columns.
        shots: numbers of support dialogues, one table for each; None for the largest.
        steps: inner steps shown as columns; None for the default.
        command: command line.
        skipped: a line for each skipped run.

    Raises:
        ConfigError: there are no records of these shots or steps.
    """
    figures = _figures(comparison)
    notes = _notes(comparison, skipped, with_cost="cost" in figures)
    tables = Tables(
        title=title(comparison),
        scores=score_grids(comparison, metrics, shots, steps),
        topics=[*topic_grids(comparison), *reach_grids(comparison)],
        differences=difference_rows(comparison, metrics),
        baseline=baseline_rows(comparison, metrics),
        samples=samples_of(comparison.runs),
        notes=notes,
    )
    pictures = {
        name: Picture(caption, saved(figure, "png"), for_paper=name == "curves")
        for name, (caption, figure) in figures.items()
    }
    files = {name: text.encode() for name, text in _texts(comparison, tables, command, pictures).items()}
    for name, (_, figure) in figures.items():
        files |= {f"{name}.png": pictures[name].png, f"{name}.pdf": saved(figure, "pdf")}
    files["curves.svg"] = saved(figures["curves"][1], "svg")
    return Report(comparison, tables.scores, tables.baseline, files)


def _notes(comparison: Comparison, skipped: Sequence[str], *, with_cost: bool) -> list[str]:
    """Return what a reader should know of the tables."""
    notes = [f"Left out: {line}" for line in skipped]
    if not with_cost:
        notes.append(NO_COST)
    if any(key.startswith("tokenizer.") for key in comparison.varied):
        notes.append("The rows have different tokenizers: their losses per token cannot be compared.")
    return notes


def _texts(comparison: Comparison, tables: Tables, command: str, pictures: Mapping[str, Picture]) -> dict[str, str]:
    """Return the files that are text: name -> content."""
    texts = {
        "table.md": markdown(comparison, tables),
        "table.tex": latex(comparison, tables),
        "table_document.tex": DOCUMENT,
        "table.csv": _csv(comparison.scores),
        "differences.csv": _csv(comparison.differences),
        "topics.csv": _csv(comparison.topics),
        "table.html": page(comparison, tables, command),
        REPORT: page(comparison, tables, command, list(pictures.values())),
    }
    if comparison.settings.baseline is not None:
        texts[_BASELINE_TABLE] = _csv(comparison.baseline_differences)
    return texts


def saved(figure: Figure, kind: str) -> bytes:
    """Return a figure as the content of an image file."""
    buffer = BytesIO()
    with style():
        figure.savefig(buffer, format=kind, metadata=_UNDATED.get(kind))
    return buffer.getvalue()


def _csv(table: pd.DataFrame) -> str:
    named = table.assign(inner_step=table["inner_step"].map(lambda step: "chosen" if step == CHOSEN else step))
    # Texts may be of pandas' string type or Python objects, so all non-numeric columns are checked.
    texts = {str(name): named[name].map(_without_formula) for name in named if not is_numeric_dtype(named[name])}
    return str(named.assign(**texts).to_csv(index=False, lineterminator="\n"))


def _without_formula(value: object) -> object:
    """Escape a cell that a spreadsheet would interpret as a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _figures(comparison: Comparison) -> dict[str, tuple[str, Figure]]:
    """Return the figures with captions: name -> caption, figure."""
    ends = f"with {comparison.settings.confidence:.0%} intervals"
    step = "chosen" if comparison.last[1] == CHOSEN else "last"
    results = _baseline_figures(comparison, step, ends) if len(comparison.baseline_differences) else {}
    results |= {
        "curves": (
            f"Adaptation curves: word perplexity on held-out topics after each inner step, {ends}.",
            curves_figure(comparison),
        ),
        "shots": (
            f"Word perplexity at the {step} inner step against the number of support dialogues, {ends}.",
            shots_figure(comparison),
        ),
        "topics": (
            (
                f"Gain by topic and algorithm, {comparison.last_words}: how far adaptation lowers the log of word "
                f"perplexity."
            ),
            topics_figure(comparison),
        ),
    }
    spent = costs(comparison)
    if len(spent.columns) and bool((spent > 0).to_numpy().any()):
        caption = (
            f"Word perplexity, {comparison.last_words}, {ends}, against the cost of meta-training (mean over seeds); "
            f"what has no meta-training stands left of the broken line."
        )
        results["cost"] = (caption, compute_figure(comparison, spent))
    return results


def _baseline_figures(comparison: Comparison, step: str, ends: str) -> dict[str, tuple[str, Figure]]:
    """Return the figures of the differences from the baseline."""
    baseline, paired = comparison.settings.baseline, f"paired by episode, {ends}"
    filled = f"filled: p < {comparison.settings.significance:g} after Holm's correction"
    return {
        "forest": (
            f"Difference of each row from {baseline}, {paired}, at the {step} inner step; {filled}.",
            forest_figure(comparison),
        ),
        "difference_curves": (
            f"Difference of each row from {baseline} after each inner step, paired by episode.",
            difference_curves_figure(comparison),
        ),
    }
