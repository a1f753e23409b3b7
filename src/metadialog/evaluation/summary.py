"""The printed summary of an evaluation: perplexity by topic and inner step, and sample replies."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from metadialog.evaluation.adaptation import Sample
from metadialog.evaluation.scoring import word_perplexity
from metadialog.text import counted, word_unit

if TYPE_CHECKING:
    import pandas as pd


def summarize(
    records: "pd.DataFrame", samples: Sequence[Sample], report_steps: Sequence[int], language: str = "en"
) -> Group:
    """Return the tables of an evaluation.

    Args:
        records: records of one algorithm.
        samples: samples of the same evaluation.
        report_steps: inner steps to show; those without records are left out.
        language: ISO 639 code of the texts, which determines what word perplexity counts and how it is labelled.
    """
    shown = [step for step in report_steps if step in set(records["inner_step"])]
    tables = [_perplexities(part, shown, word_unit(language)) for _, part in records.groupby("shots")]
    return Group(*tables, *([_replies(samples)] if samples else []))


def perplexity(records: "pd.DataFrame") -> float:
    """Return the word perplexity pooled over several records."""
    return word_perplexity(float((records["loss"] * records["tokens"]).sum()), int(records["words"].sum()))


def _perplexities(records: "pd.DataFrame", steps: Sequence[int], unit: str) -> Group:
    algorithm, shots = records[["algorithm", "shots"]].iloc[0]
    name = "Word perplexity" if unit == "word" else f"Word perplexity (per {unit})"
    title = f"{name} on held-out topics, {algorithm}, {counted(shots, 'shot')}, by inner steps"
    table = Table()
    table.add_column("topic")
    for step in steps:
        table.add_column("before" if step == 0 else counted(step, "step"), justify="right")
    for topic, part in records.groupby("topic"):
        table.add_row(Text(str(topic)), *_row(part, steps))  # Text, as a topic's name is not markup
    table.add_section()
    table.add_row("all topics", *_row(records, steps), style="bold")
    # Above the table rather than its title, which rich would wrap to the table's width.
    return Group(Text(title, style="italic"), table)


def _row(records: "pd.DataFrame", steps: Sequence[int]) -> list[str]:
    reached = set(records["inner_step"])  # without shots there is only step 0
    return [_short(perplexity(records[records["inner_step"] == step])) if step in reached else "-" for step in steps]


def _short(number: float) -> str:
    return f"{number:,.1f}" if number < 1000 else f"{number:,.0f}"


def _replies(samples: Sequence[Sample]) -> Table:
    """Show the first reply of each topic's first episode, with the most shots."""
    shots = max(sample.shots for sample in samples)
    first: dict[str, Sample] = {}
    for sample in samples:
        if sample.shots == shots:
            first.setdefault(sample.topic, sample)
    steps = next(iter(first.values())).inner_step
    table = Table(title="Sample replies", title_justify="left", show_lines=True)
    for column in ("topic", "context", "reference", "before", f"after {counted(steps, 'step')}"):
        table.add_column(column, overflow="fold")
    for topic, sample in first.items():
        # Text, as a model's reply is not markup.
        cells = (topic, sample.context, sample.reference, sample.before, sample.after)
        table.add_row(*map(Text, cells))
    return table
