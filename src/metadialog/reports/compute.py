"""Quality against compute, from the recorded costs of runs."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from metadialog.reports.comparison import Comparison
from metadialog.reports.figures import bars, cut_rows, finite, name_values, panel_height, perplexity_axis, style
from metadialog.reports.looks import looks

_AXES = {
    "flops": ("FLOPs of meta-training", 1.0),
    "tokens": ("tokens seen in meta-training", 1.0),
    "dialogues": ("distinct dialogues drawn in meta-training", 1.0),
    "seconds": ("seconds of meta-training", 1.0),
    "peak_bytes": ("peak memory of meta-training, MiB", 2.0**20),
}
_TICKS = 5
_COLUMNS = 2
_UNITS = EngFormatter()


def costs(comparison: Comparison) -> pd.DataFrame:
    """Return the mean cost of meta-training over seeds: a row for each algorithm, a column for each kind.

    It is empty if any run has no recorded cost, as a partial comparison would be misleading.
    """
    rows = []
    for run in comparison.runs:
        phase = (run.cost or {}).get("meta_train")
        if not isinstance(phase, dict):
            return pd.DataFrame()
        known = {kind: phase[kind] for kind in _AXES if isinstance(phase.get(kind), int | float)}
        rows.append({"algorithm": run.algorithm, **known})
    return pd.DataFrame(rows).groupby("algorithm", sort=False).mean().dropna(axis="columns")


def compute_figure(comparison: Comparison, spent: pd.DataFrame) -> Figure:
    """Draw word perplexity, with the most shots after the last inner step, against each kind of cost.

    Args:
        comparison: the comparison.
        spent: the `costs`, not empty. Algorithms without cost are at the left edge.
    """
    shots, step = comparison.last
    part = finite(comparison, "word_perplexity")
    part = part[(part["shots"] == shots) & (part["inner_step"] == step)].set_index("algorithm")
    kinds = [kind for kind in _AXES if kind in spent and (spent[kind] > 0).any()]
    with style():
        columns = min(_COLUMNS, len(kinds))
        rows = math.ceil(len(kinds) / columns)
        figure = Figure(figsize=(3.1 * columns + 1.5, panel_height(comparison) * rows))
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
        panels = grid.ravel()
        part = cut_rows(panels[0], part.reset_index(), ["inner_step"]).set_index("algorithm")
        for axes in panels[len(kinds) :]:
            axes.remove()
        for axes, kind in zip(panels, kinds, strict=False):
            written = _plain if kind == "seconds" else _short
            _draw(axes, part, spent[kind] / _AXES[kind][1], comparison.algorithms, written)
            axes.set_xlabel(_AXES[kind][0])
        for axes in grid[:, 0]:
            perplexity_axis(axes, comparison)
        figure.draw_without_rendering()
        # Panels share the y-axis, so names are only beside the last one of a row.
        for row in range(rows):
            last = min((row + 1) * columns, len(kinds)) - 1
            name_values(panels[last], part["mean"].to_dict(), comparison.algorithms)
    return figure


def _plain(tick: float) -> str:
    return f"{tick:,g}"


def _short(tick: float) -> str:
    return _UNITS.format_eng(tick).replace(" ", "")


def _draw(
    axes: Axes,
    part: pd.DataFrame,
    spent: "pd.Series[float]",
    algorithms: Sequence[str],
    written: Callable[[float], str],
) -> None:
    least, most = spent[spent > 0].min(), spent.max()
    free = least / 10 ** (0.3 + 0.15 * np.log10(most / least))
    for drawn, algorithm in zip(looks(algorithms), algorithms, strict=True):
        if algorithm in part.index and algorithm in spent.index:
            row = part.loc[[algorithm]]
            marks = {**drawn, "linestyle": "none"}
            axes.errorbar([spent[algorithm] or free], row["mean"], yerr=bars(row), elinewidth=0.7, **marks)
    axes.set_xscale("log")
    ticks = _ticks(float(least), float(most))
    labels = [written(tick) for tick in ticks]
    if (spent == 0).any():
        axes.axvline(float(np.sqrt(free * least)), color="0.6", linestyle="--", linewidth=0.8)
        ticks, labels = [float(free), *ticks], ["none", *labels]
    axes.set_xticks(ticks, labels)
    axes.minorticks_off()


def _ticks(least: float, most: float) -> list[float]:
    """Return a few round numbers that cover a range of positive numbers."""
    for factors in ((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8), (1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
        ticks = [factor * 10.0**power for power in powers for factor in factors]
        inside = [tick for tick in ticks if least / 1.5 <= tick <= most * 1.5]
        if len(inside) <= _TICKS:
            return inside
    return inside[:: math.ceil(len(inside) / _TICKS)]
