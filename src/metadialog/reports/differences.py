"""The tables of differences: each algorithm minus the best, and minus a baseline."""

import math
from collections.abc import Sequence

import pandas as pd

from metadialog.reports.comparison import Comparison
from metadialog.reports.grid import metric_label
from metadialog.statistics.comparison import CHOSEN
from metadialog.statistics.metrics import Metric

HEADER = ("metric", "best", "algorithm", "difference", "unit", "effect size", "p", "p (Holm)")
BASELINE_HEADER = (HEADER[0], "baseline", *HEADER[2:])


def difference_rows(comparison: Comparison, metrics: Sequence[Metric]) -> list[tuple[str, ...]]:
    """Return the rows below `HEADER`: with the most shots, at the chosen or else the last reported step."""
    return _rows(comparison, comparison.differences, metrics)


def baseline_rows(comparison: Comparison, metrics: Sequence[Metric]) -> list[tuple[str, ...]]:
    """Return the rows below `BASELINE_HEADER`; none without a baseline."""
    return _rows(comparison, comparison.baseline_differences, metrics)


def baseline_title(comparison: Comparison) -> str:
    """Return the title of the rows of `baseline_rows`."""
    return f"Differences from {comparison.settings.baseline}, {comparison.last_words}"


def at_main_step(differences: pd.DataFrame) -> pd.DataFrame:
    """Return the rows at the chosen or else the last step; of one metric and number of shots."""
    steps = set(differences["inner_step"])
    return differences[differences["inner_step"] == (CHOSEN if CHOSEN in steps else max(steps, default=0))]


def _rows(comparison: Comparison, differences: pd.DataFrame, metrics: Sequence[Metric]) -> list[tuple[str, ...]]:
    rows = []
    most = differences[differences["shots"] == comparison.last[0]]
    for metric in metrics:
        last = at_main_step(most[most["metric"] == metric.name])
        rows += [_row(row, metric, comparison) for _, row in last.iterrows()]
    return rows


def _row(row: "pd.Series[float]", metric: Metric, comparison: Comparison) -> tuple[str, ...]:
    label = metric_label(metric, comparison.runs[0].language)
    other = str(row["best"] if "best" in row.index else row["baseline"])
    digits = 3 if metric.digits is None else metric.digits
    if not math.isfinite(row["difference"]):
        return (label, other, str(row["algorithm"]), "diverged", "", "", "", "")
    ends = f" [{row['low']:+.{digits}f}, {row['high']:+.{digits}f}]" if math.isfinite(row["low"]) else ""
    return (
        f"log {label}" if metric.exponential else label,
        other,
        str(row["algorithm"]),
        f"{row['difference']:+.{digits}f}{ends}",
        metric.unit,
        _plain(row["effect_size"], "+.2f"),
        p_value(row["p_value"]),
        p_value(row["p_value_holm"]),
    )


def p_value(value: float) -> str:
    """Format a p-value."""
    return "< 0.001" if value < 0.001 else _plain(value, ".3f")


def _plain(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "-"
