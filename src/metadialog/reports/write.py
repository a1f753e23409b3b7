"""Everything that `metadialog table` writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from metadialog.reports.comparison import Comparison
from metadialog.reports.compute import compute_figure, costs
from metadialog.reports.differences import difference_rows
from metadialog.reports.figures import curves_figure, shots_figure, style, topics_figure
from metadialog.reports.grid import Grid, score_grids, topic_grids
from metadialog.reports.latex import latex
from metadialog.reports.markdown import markdown
from metadialog.reports.page import Picture, page
from metadialog.reports.reach import reach_grids
from metadialog.runs.atomic import write_atomically
from metadialog.statistics.comparison import CHOSEN
from metadialog.statistics.metrics import Metric

_FORMULA = ("=", "+", "-", "@", "\t", "\r")

NO_COST = "cost.png is left out: not every run holds a cost.json with its meta_train cost."


@dataclass(frozen=True, slots=True)
class Report:
    """A comparison, ready to be written.

    Attributes:
        comparison: the numbers.
        grids: the tables of scores.
        files: name -> content.
    """

    comparison: Comparison
    grids: Sequence[Grid]
    files: Mapping[str, bytes]

    @property
    def without_cost(self) -> bool:
        """Whether the runs do not say what they cost."""
        return "cost.png" not in self.files

    def write(self, directory: Path) -> None:
        """Write the files into a directory, each whole or not at all; other files there stay."""
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            write_atomically(directory / name, content)
        if self.without_cost:  # that of an earlier report would pass for this one's
            (directory / "cost.png").unlink(missing_ok=True)


def render(
    comparison: Comparison,
    metrics: Sequence[Metric],
    shots: Sequence[int] | None,
    steps: Sequence[int] | None,
    command: str,
    skipped: Sequence[str],
) -> Report:
    """Make every file; nothing is written yet.

    Args:
        comparison: the numbers.
        metrics: the columns of the tables.
        shots: a table for each; None for the most.
        steps: the inner steps of the columns; None for the usual.
        command: what was typed.
        skipped: a line for each run that was left out.

    Raises:
        ConfigError: there are no records of these shots or steps.
    """
    grids, topics = score_grids(comparison, metrics, shots, steps), [*topic_grids(comparison), *reach_grids(comparison)]
    differences = difference_rows(comparison, metrics)
    figures = _figures(comparison)
    notes = [f"Left out: {line}" for line in skipped]
    if "cost" not in figures:
        notes.append(NO_COST)
    if any(key.startswith("tokenizer.") for key in comparison.varied):
        notes.append("The rows have different tokenizers: their losses per token cannot be compared.")
    pictures = [Picture(caption, _saved(figure, "png")) for caption, figure in figures.values()]
    texts = {
        "table.md": markdown(comparison, grids, topics, differences, notes),
        "table.tex": latex(comparison, grids, topics),
        "table.csv": _csv(comparison.scores),
        "differences.csv": _csv(comparison.differences),
        "topics.csv": _csv(comparison.topics),
        "table.html": page(comparison, grids, topics, differences, notes, command),
        "report.html": page(comparison, grids, topics, differences, notes, command, pictures),
    }
    images = {f"{name}.png": picture.png for name, picture in zip(figures, pictures, strict=True)}
    images["curves.svg"] = _saved(figures["curves"][1], "svg")
    return Report(comparison, grids, {**{name: text.encode() for name, text in texts.items()}, **images})


def _csv(table: pd.DataFrame) -> str:
    named = table.assign(inner_step=table["inner_step"].map(lambda step: "chosen" if step == CHOSEN else step))
    texts = {str(name): named[name].map(_without_formula) for name in named if named[name].dtype == object}
    return str(named.assign(**texts).to_csv(index=False, lineterminator="\n"))


def _without_formula(value: object) -> object:
    """Return a cell that a spreadsheet shows, where it would take it for a formula and run it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _figures(comparison: Comparison) -> dict[str, tuple[str, Figure]]:
    """Return the figures with what they show: name -> caption, figure."""
    ends = f"with {comparison.settings.confidence:.0%} intervals"
    step = "chosen" if comparison.last[1] == CHOSEN else "last"
    found = {
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
        found["cost"] = (caption, compute_figure(comparison, spent))
    return found


def _saved(figure: Figure, kind: str) -> bytes:
    buffer = BytesIO()
    # Without the date, so that the same runs make the same files.
    with style():
        figure.savefig(buffer, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return buffer.getvalue()
