"""The number of inner steps in which each algorithm reaches the best loss of fine-tuning."""

import math

import pandas as pd

from metadialog.reports.comparison import Comparison
from metadialog.reports.grid import Cell, Grid
from metadialog.text import counted

BASELINE = "finetune"


def reach_grids(comparison: Comparison) -> list[Grid]:
    """Return the table of inner steps to the best that fine-tuning reaches; none without a row of that name."""
    scores = comparison.scores[(comparison.scores["metric"] == "loss") & (comparison.scores["inner_step"] >= 0)]
    if BASELINE not in comparison.algorithms or scores.empty:
        return []
    shots = sorted(set(scores.loc[(scores["algorithm"] == BASELINE) & (scores["shots"] > 0), "shots"].tolist()))
    curves = {
        (number, name): scores[(scores["shots"] == number) & (scores["algorithm"] == name)].sort_values("inner_step")
        for number in shots
        for name in comparison.algorithms
    }
    rows = [(name, [_cell(curves[n, name], curves[n, BASELINE]) for n in shots]) for name in comparison.algorithms]
    columns = [counted(number, "shot") for number in shots]
    title = f"Inner steps to the lowest loss that {BASELINE} reaches with as many shots"
    return [Grid(title, "algorithm", [("inner steps", len(shots))], columns, rows)] if shots else []


def _cell(curve: pd.DataFrame, baseline: pd.DataFrame) -> Cell | None:
    if curve.empty:
        return None
    steps = curve.loc[curve["mean"] <= baseline["mean"].min(), "inner_step"].tolist()
    value = float(steps[0]) if steps else math.inf
    return Cell(str(steps[0]) if steps else "never", "", "", best=False, alike=False, value=value)
