"""The table of differences: each algorithm minus the best."""

import math
from collections.abc import Sequence

import pandas as pd

from metadialog.reports.comparison import Comparison
from metadialog.reports.grid import metric_label
from metadialog.statistics.comparison import CHOSEN
from metadialog.statistics.metrics import Metric

HEADER = ("metric", "best", "algorithm", "difference", "unit", "effect size", "p", "p (Holm)")


def difference_rows(comparison: Comparison, metrics: Sequence[Metric]) -> list[tuple[str, ...]]:
    """Return the rows below `HEADER`: with the most shots, at the chosen or else the last reported step."""
    rows = []
    most = comparison.differences[comparison.differences["shots"] == comparison.last[0]]
    for metric in metrics:
        part = most[most["metric"] == metric.name]
        steps = set(part["inner_step"])
        last = part[part["inner_step"] == (CHOSEN if CHOSEN in steps else max(steps, default=0))]
        rows += [_row(row, metric, comparison) for _, row in last.iterrows()]
    return rows


def _row(row: "pd.Series[float]", metric: Metric, comparison: Comparison) -> tuple[str, ...]:
    label = metric_label(metric, comparison.runs[0].language)
    digits = 3 if metric.digits is None else metric.digits
    if not math.isfinite(row["difference"]):
        return (label, str(row["best"]), str(row["algorithm"]), "diverged", "", "", "", "")
    ends = f" [{row['low']:+.{digits}f}, {row['high']:+.{digits}f}]" if math.isfinite(row["low"]) else ""
    return (
        f"log {label}" if metric.exponential else label,
        str(row["best"]),
        str(row["algorithm"]),
        f"{row['difference']:+.{digits}f}{ends}",
        metric.unit,
        _plain(row["effect_size"], "+.2f"),
        p_value(row["p_value"]),
        p_value(row["p_value_holm"]),
    )


def p_value(value: float) -> str:
    """Write a p-value."""
    return "< 0.001" if value < 0.001 else _plain(value, ".3f")


def _plain(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "-"
