"""Tables independent of the output format: rows are algorithms, columns are metrics."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from metadialog.errors import ConfigError
from metadialog.reports.comparison import Comparison
from metadialog.reports.samples import Sample
from metadialog.statistics.comparison import CHOSEN
from metadialog.statistics.metrics import METRICS, Metric
from metadialog.text import counted, word_unit


@dataclass(frozen=True, slots=True)
class Cell:
    """A number in a table.

    Attributes:
        mean, low, high: formatted values, large ones as in 1.8e7; `low` is empty without an interval.
        best: whether it is the best of its column.
        alike: whether it is not significantly worse than the best.
        value: value for sorting.
    """

    mean: str
    low: str
    high: str
    best: bool
    alike: bool
    value: float


@dataclass(frozen=True, slots=True)
class Grid:
    """A table.

    Attributes:
        title: title of the table.
        corner: header of the row names.
        groups: headers of groups of columns, with the number of columns.
        columns: names of the columns.
        rows: a name and a cell for each column; None for no value.
    """

    title: str
    corner: str
    groups: Sequence[tuple[str, int]]
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell | None]]]


def metric_label(metric: Metric, language: str) -> str:
    """Return the label of a metric; it mentions characters if these count as words."""
    unit = word_unit(language)
    return metric.label if unit == "word" else metric.label.replace("word", unit)


def score_grids(
    comparison: Comparison, metrics: Sequence[Metric], shots: Sequence[int] | None, steps: Sequence[int] | None
) -> list[Grid]:
    """Return a table for each number of shots.

    Args:
        comparison: the comparison.
        metrics: metrics shown as columns, once for every step at which they were reported.
        shots: numbers of support dialogues; None for the largest.
        steps: inner steps; None for the chosen or else the last step, and for the first metric also step 0.

    Raises:
        ConfigError: the records do not have these shots or steps.
    """
    chosen = _chosen_shots(comparison.scores, shots, steps)
    return [_score_grid(comparison, metrics, one, steps) for one in chosen]


def shown_scores(
    comparison: Comparison, metrics: Sequence[Metric], shots: Sequence[int] | None, steps: Sequence[int] | None
) -> pd.DataFrame:
    """Return the rows of `comparison.scores` that the tables of `score_grids` show, in their order.

    Raises:
        ConfigError: the records do not have these shots or steps.
    """
    scores = comparison.scores
    results = []
    for count in _chosen_shots(scores, shots, steps):
        part = scores[scores["shots"] == count]
        for metric, step in _columns(part, metrics, steps):
            results.append(part[(part["metric"] == metric.name) & (part["inner_step"] == step)])
    return pd.concat(results, ignore_index=True)


def _chosen_shots(scores: pd.DataFrame, shots: Sequence[int] | None, steps: Sequence[int] | None) -> list[int]:
    """Return the numbers of shots to show, after checking that the records have them and the steps."""
    known = sorted(scores["shots"].unique().tolist())
    chosen = known[-1:] if shots is None else list(shots)
    _check("shots", chosen, known)
    if steps is not None:
        _check("steps", steps, sorted(scores["inner_step"].unique().tolist()))
    return chosen


def topic_grids(comparison: Comparison) -> list[Grid]:
    """Return the tables of topics, with the most shots after the last inner step: perplexity and gain."""
    topics = comparison.topics
    grids = []
    for name, part in topics.groupby("metric", sort=False):
        metric = METRICS[str(name)]
        columns = list(dict.fromkeys(part["topic"]))
        by_topic = {topic: rows.set_index("algorithm") for topic, rows in part.groupby("topic")}
        bests = {topic: _best(rows["mean"], metric) for topic, rows in by_topic.items()}
        rows = [
            (
                algorithm,
                [
                    _cell(by_topic[topic].loc[algorithm], metric, best=bests[topic] == algorithm, alike=False)
                    for topic in columns
                ],
            )
            for algorithm in comparison.algorithms
        ]
        label = metric_label(metric, comparison.runs[0].language)
        title = f"{label[:1].upper()}{label[1:]} by topic, {comparison.last_words}"
        grids.append(Grid(title, "algorithm", [(label, len(columns))], columns, rows))
    return grids


def _score_grid(comparison: Comparison, metrics: Sequence[Metric], shots: int, steps: Sequence[int] | None) -> Grid:
    scores = comparison.scores[comparison.scores["shots"] == shots]
    columns = list(_columns(scores, metrics, steps))
    groups: dict[str, int] = {}
    for metric, _ in columns:
        label = metric_label(metric, comparison.runs[0].language)
        arrow = {"lower": " ↓", "higher": " ↑", None: ""}[metric.better]
        groups[label + arrow] = groups.get(label + arrow, 0) + 1
    result = scores.set_index(["algorithm", "metric", "inner_step"])
    bests = {
        (metric.name, step): _best(result["mean"].xs((metric.name, step), level=("metric", "inner_step")), metric)
        for metric, step in columns
    }
    rows = []
    for algorithm in comparison.algorithms:
        cells: list[Cell | None] = []
        for metric, step in columns:
            key = (algorithm, metric.name, step)
            best = bests[key[1:]] == algorithm
            cells.append(_score_cell(result, key, metric, best, comparison.settings.significance))
        rows.append((algorithm, cells))
    names = [_steps(step) for _, step in columns]
    return Grid(f"Held-out topics, {_shots(shots)}, by inner steps", "algorithm", list(groups.items()), names, rows)


def _columns(
    scores: pd.DataFrame, metrics: Sequence[Metric], steps: Sequence[int] | None
) -> Iterator[tuple[Metric, int]]:
    for index, metric in enumerate(metrics):
        reported = sorted(scores.loc[scores["metric"] == metric.name, "inner_step"].unique().tolist())
        if not reported:
            continue
        main = CHOSEN if CHOSEN in reported else reported[-1]
        usual = [min(step for step in reported if step >= 0), main] if index == 0 else [main]
        wanted = usual if steps is None else steps
        yield from ((metric, step) for step in dict.fromkeys(wanted) if step in reported)


def _score_cell(
    differences: pd.DataFrame, key: tuple[str, str, int], metric: Metric, best: bool, significance: float
) -> Cell | None:
    if key not in differences.index:
        return None
    row: Any = differences.loc[[key]].iloc[0]
    p_value = float(row["p_value_vs_best"])
    return _cell(row, metric, best=best, alike=not best and p_value >= significance)


def _cell(row: Any, metric: Metric, *, best: bool, alike: bool) -> Cell:  # noqa: ANN401 - a pandas row
    mean, low, high = (float(row[name]) for name in ("mean", "low", "high"))
    ends = ("", "") if math.isnan(low) else (number(low, metric.digits), number(high, metric.digits))
    return Cell(number(mean, metric.digits), *ends, best=best, alike=alike, value=mean)


def _best(means: "pd.Series[float]", metric: Metric) -> str | None:
    finite = means[means.map(math.isfinite)]
    if metric.better is None or finite.empty:
        return None
    return str(finite.idxmin() if metric.better == "lower" else finite.idxmax())


def number(value: float, digits: int | None) -> str:
    """Format a number with `digits` decimal places, or with three or four significant digits if None.

    Large numbers have an exponent, as in 1.79e7; values that are not finite are shown as diverged.
    """
    if not math.isfinite(value):
        return "diverged"
    if digits is not None:
        return f"{value:.{digits}f}"
    if abs(value) >= 100_000:
        mantissa, _, exponent = f"{value:.2e}".partition("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _shots(shots: int) -> str:
    return counted(shots, "shot")


def _steps(step: int) -> str:
    if step == CHOSEN:
        return "chosen step"
    return "before" if step == 0 else counted(step, "step")


def _check(option: str, chosen: Sequence[int], known: Sequence[int]) -> None:
    wrong = ["chosen" if value == CHOSEN else value for value in chosen if value not in known]
    if "chosen" in wrong:
        raise ConfigError(
            f"{option}: some of the runs chose no step on meta-validation topics (evaluation.rates), so there is no "
            "column 'chosen'; name numbers of steps"
        )
    if wrong:
        shown = ", ".join("chosen" if value == CHOSEN else str(value) for value in chosen)
        raise ConfigError(
            f"{option}=[{shown}]: no run has records of {option} {', '.join(map(str, wrong))}; there are "
            f"{', '.join('chosen' if value == CHOSEN else str(value) for value in known)}"
        )


@dataclass(frozen=True, slots=True)
class Tables:
    """The content of a report.

    Attributes:
        title: title of the report.
        scores: tables of scores.
        topics: tables of topics, and of the inner steps to the baseline's best.
        differences: rows of the table of differences from the best.
        baseline: rows of the differences from the baseline; empty without one.
        samples: replies of all algorithms to the same contexts.
        notes: additional notes, one sentence each.
    """

    title: str
    scores: Sequence[Grid]
    topics: Sequence[Grid]
    differences: Sequence[Sequence[str]]
    baseline: Sequence[Sequence[str]]
    samples: Sequence[Sample]
    notes: Sequence[str]
