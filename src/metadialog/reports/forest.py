"""Differences from a baseline, paired by episode: a forest plot, and curves over the inner steps."""

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metadialog.reports.comparison import Comparison
from metadialog.reports.differences import at_main_step
from metadialog.reports.figures import FEW, beyond, in_figure, name_values, note_outside, panel_height, some, style
from metadialog.reports.grid import metric_label
from metadialog.reports.looks import looks
from metadialog.statistics.metrics import METRICS
from metadialog.text import counted

_ROW = 0.24  # inches


def forest_figure(comparison: Comparison) -> Figure:
    """Draw each algorithm's difference from the baseline with its interval, a panel for each number of shots.

    A filled mark is a significant difference (after Holm's correction), a hollow one is not.
    """
    part = _differences(comparison)
    part = part[part["shots"] > 0] if (part["shots"] > 0).any() else part
    shots = some(sorted(part["shots"].unique().tolist()))
    main = {count: at_main_step(part[part["shots"] == count]).set_index("algorithm") for count in shots}
    last = main[shots[-1]]["difference"] if shots else pd.Series(dtype="float64")
    order = [str(name) for name in last.sort_values(ascending=False).index]
    colours = dict(zip(comparison.algorithms, looks(comparison.algorithms), strict=True))
    with style():
        figure = Figure(figsize=(1.6 + 2.6 * max(1, len(shots)), 1.2 + _ROW * max(4, len(order))))
        panels = figure.subplots(1, max(1, len(shots)), squeeze=False, sharey=True)[0]
        for axes, count in zip(panels, shots, strict=False):
            rows = main[count]
            outside = beyond(rows["difference"].to_dict())
            for index, name in enumerate(order):
                if name in rows.index and name not in outside:
                    row = rows.loc[name]
                    result = row["p_value_holm"] < comparison.settings.significance
                    looked = {key: colours[name][key] for key in ("color", "marker")}
                    ends = [[row["difference"] - row["low"]], [row["high"] - row["difference"]]]
                    ends = [[max(0.0, end[0]) if np.isfinite(end[0]) else 0.0] for end in ends]
                    face = looked["color"] if result else "white"
                    axes.errorbar(row["difference"], index, xerr=ends, linestyle="none", mfc=face, **looked)
            axes.axvline(0, color="0.35", linewidth=0.9)
            axes.set_title(counted(int(count), "shot"))
            axes.xaxis.set_major_locator(ticker.MaxNLocator(5))
            for name, value in outside.items():
                _name_outside(axes, order.index(str(name)), value)
        panels[0].set_yticks(range(len(order)), list(map(in_figure, order)), parse_math=False)
        panels[0].set_ylim(-0.7, len(order) - 0.3)
        figure.supxlabel(f"{_label(comparison)}; left is better", fontsize=9)
    return figure


def difference_curves_figure(comparison: Comparison) -> Figure:
    """Draw the difference from the baseline after each inner step, with bands if there are few algorithms."""
    part = _differences(comparison)
    part = part[(part["inner_step"] >= 0) & (part["shots"] > 0)]
    shots = some(sorted(part["shots"].unique().tolist()))
    drawn = looks(comparison.algorithms)
    few = len(comparison.algorithms) <= FEW
    with style():
        figure = Figure(figsize=(max(1, len(shots)) * 3.5 + 0.8, panel_height(comparison)))
        panels = figure.subplots(1, max(1, len(shots)), squeeze=False, sharey=True)[0]
        ends = part.sort_values("inner_step").groupby(["shots", "algorithm"]).tail(1)
        outside = beyond(ends.groupby("algorithm")["difference"].max().to_dict())
        for axes, count in zip(panels, shots, strict=False):
            for look, algorithm in zip(drawn, comparison.algorithms, strict=True):
                rows = part[(part["shots"] == count) & (part["algorithm"] == algorithm)].sort_values("inner_step")
                if rows.empty or algorithm in outside:
                    continue
                axes.plot(rows["inner_step"], rows["difference"], markevery=max(1, len(rows) // 5), **look)
                if few:
                    band = {"color": look["color"], "alpha": 0.12, "linewidth": 0}
                    axes.fill_between(rows["inner_step"], rows["low"], rows["high"], **band)
            axes.axhline(0, color="0.35", linewidth=0.9)
            axes.set_title(counted(int(count), "shot"))
            axes.set_xlabel("inner step")
            axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        panels[0].set_ylabel(f"{_label(comparison)}\nbelow 0 is better")
        note_outside(panels[0], {name: f"{value:+.2f}" for name, value in outside.items()})
        figure.draw_without_rendering()
        for axes, count in zip(panels, shots, strict=False):
            own = ends[(ends["shots"] == count) & ~ends["algorithm"].isin(list(outside))].set_index("algorithm")
            name_values(axes, own["difference"].to_dict(), comparison.algorithms)
    return figure


def _name_outside(axes: Axes, height: int, value: float) -> None:
    right = value > 0
    axes.annotate(
        f"{value:+.2f} →" if right else f"← {value:+.2f}",
        (0.99 if right else 0.01, height),
        xycoords=("axes fraction", "data"),
        ha="right" if right else "left",
        va="center",
        fontsize=7,
    )


def _differences(comparison: Comparison) -> pd.DataFrame:
    part = comparison.baseline_differences
    part = part[(part["metric"] == "word_perplexity") & np.isfinite(part["difference"].astype("float64"))]
    filled: pd.DataFrame = part.assign(
        low=part["low"].fillna(part["difference"]), high=part["high"].fillna(part["difference"])
    )
    return filled


def _label(comparison: Comparison) -> str:
    label = metric_label(METRICS["word_perplexity"], comparison.runs[0].language)
    return f"log {label} minus that of {in_figure(comparison.settings.baseline)}"
