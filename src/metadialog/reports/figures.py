"""The figures of a comparison, readable in print and for the colour-blind by colour, marker, line style and names."""

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import as_file, files
from itertools import product
from textwrap import wrap
from typing import Any
from warnings import catch_warnings, filterwarnings

import numpy as np
import pandas as pd
from matplotlib import font_manager, rc_context, rcParams, ticker
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metadialog.escapes import shortened
from metadialog.reports.comparison import Comparison
from metadialog.reports.grid import metric_label
from metadialog.reports.grid import number as written
from metadialog.reports.looks import looks
from metadialog.statistics.comparison import CHOSEN
from metadialog.statistics.metrics import METRICS
from metadialog.text import counted

_MORE_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "Microsoft YaHei",
    "PingFang SC",
    "Hiragino Sans GB",
    "Noto Sans Thai",
    "Arial Unicode MS",
)
_PANELS = 4  # maximum number of panels of curves
_GAP = 0.19  # between names, inches
_LEADER: dict[str, Any] = {"arrowstyle": "-", "relpos": (0, 0.5), "linewidth": 0.5, "shrinkA": 0, "shrinkB": 0}
_LONGEST = 28  # characters of a name
_KEY = 0.3  # length of the line before a name, inches
FEW = 6  # maximum number of curves with bands
_FENCE = 3.0  # interquartile ranges beyond which a value is an outlier


@contextmanager
def style() -> Iterator[None]:
    """Draw in the project's style."""
    # Characters that the style's font lacks are taken from the first of these fonts that is installed.
    installed = {font.name for font in font_manager.fontManager.ttflist}
    fonts = [*rcParams["font.sans-serif"][:1], *(name for name in _MORE_FONTS if name in installed)]
    sheet = as_file(files("metadialog.reports") / "style.mplstyle")
    with sheet as path, plt.style.context(path), rc_context({"font.family": fonts}), catch_warnings():
        filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        yield


def beyond(values: Mapping[Any, float]) -> dict[Any, float]:
    """Return the outliers among values, which an axis excludes.

    These are values further than three interquartile ranges outside the quartiles (Tukey's far outliers).
    """
    finite = np.array([value for value in values.values() if math.isfinite(value)])
    if len(finite) < 4:
        return {}
    low, high = np.quantile(finite, [0.25, 0.75])
    reach = _FENCE * max(float(high - low), 0.05)
    return {name: value for name, value in values.items() if not low - reach <= value <= high + reach}


def in_figure(name: Hashable) -> str:
    """Return a name for figures, shortened in the middle if it is long, to leave room for the plot."""
    return shortened(str(name), _LONGEST)


def curves_figure(comparison: Comparison) -> Figure:
    """Draw word perplexity against the inner step with its intervals, a panel for each number of shots."""
    part = finite(comparison, "word_perplexity")
    part = part[(part["inner_step"] >= 0) & (part.groupby("shots")["inner_step"].transform("max") > 0)]
    # Without shots only an upper bound such as `oracle` adapts, and the others would be points.
    part = part[part["shots"] > 0] if (part["shots"] > 0).any() else part
    shots = some(sorted(part["shots"].unique().tolist()))
    with style():
        figure = Figure(figsize=(max(1, len(shots)) * 3.5 + 0.8, panel_height(comparison)))
        panels = figure.subplots(1, max(1, len(shots)), squeeze=False, sharey=True)[0]
        part = cut_rows(panels[0], part, ["shots", "inner_step"])
        for axes, count in zip(panels, shots, strict=False):
            _draw_curves(axes, part[part["shots"] == count], comparison.algorithms)
            axes.set_title(counted(int(count), "shot"))
            axes.set_xlabel("inner step")
            axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        perplexity_axis(panels[0], comparison)
        figure.draw_without_rendering()
        for axes, count in zip(panels, shots, strict=False):
            _name_ends(axes, part[part["shots"] == count], "inner_step", comparison.algorithms)
    return figure


def shots_figure(comparison: Comparison) -> Figure:
    """Draw word perplexity against shots, after the chosen or else the last step; before adaptation there are none."""
    part = finite(comparison, "word_perplexity")
    steps = part.groupby("shots")["inner_step"]
    main = steps.transform("max").where(steps.transform("min") != CHOSEN, CHOSEN)
    last = part[part["inner_step"] == main]
    if part["shots"].min() > 0:
        before = part[(part["inner_step"] == 0) & (part["shots"] == part["shots"].min())].assign(shots=0)
        last = pd.concat([before, last])
    counts = sorted(last["shots"].unique().tolist())
    # Evenly spaced: 0, 1, 3, 5, 10 would crowd at the left.
    last = last.assign(position=last["shots"].map(counts.index))
    with style():
        figure = Figure(figsize=(5.9, panel_height(comparison)))
        axes = figure.subplots()
        last = cut_rows(axes, last, ["position"])
        drawn = looks(comparison.algorithms)
        for number, algorithm in enumerate(comparison.algorithms):
            rows = last[last["algorithm"] == algorithm].sort_values("position")
            shift = (number - (len(comparison.algorithms) - 1) / 2) * 0.03
            axes.errorbar(rows["position"] + shift, rows["mean"], yerr=bars(rows), elinewidth=0.7, **drawn[number])
        axes.set_xticks(range(len(counts)), [f"{count}" if count else "0\n(before)" for count in counts])
        axes.set_xlabel("shots (support dialogues)")
        perplexity_axis(axes, comparison)
        figure.draw_without_rendering()
        _name_ends(axes, last, "position", comparison.algorithms)
    return figure


def topics_figure(comparison: Comparison) -> Figure:
    """Draw the gain by topic and algorithm as a heat map, with its numbers."""
    part = comparison.topics[comparison.topics["metric"] == "gain"]
    gains = part.pivot_table(index="topic", columns="algorithm", values="mean", dropna=False)
    gains = gains.reindex(columns=list(comparison.algorithms))
    values = gains.to_numpy(dtype="float64")
    finite = np.abs(values[np.isfinite(values)])
    limit = max(float(finite.max()) if finite.size else 0.0, 1e-6)
    with style():
        names, topics = (list(map(in_figure, labels)) for labels in (gains.columns, gains.index))
        below = 0.04 * max(0, *(len(name) - 16 for name in names))  # inches that long names take when they are turned
        figure = Figure(figsize=(2.2 + 0.78 * values.shape[1], 1.6 + 0.34 * values.shape[0] + below))
        axes = figure.subplots()
        image = axes.imshow(values, cmap="PuOr", vmin=-limit, vmax=limit, aspect="auto")
        axes.grid(visible=False)
        axes.set_xticks(range(values.shape[1]), names, rotation=35, ha="right", parse_math=False)
        axes.set_yticks(range(values.shape[0]), topics, parse_math=False)
        for row, column in product(range(values.shape[0]), range(values.shape[1])):
            value = values[row, column]
            dark = math.isfinite(value) and abs(value) > 0.5 * limit
            text = f"{value:+.2f}" if math.isfinite(value) else "diverged"
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")
        axes.set_title(f"Gain by adaptation, {comparison.last_words}")
        bar = figure.colorbar(image, ax=axes, shrink=0.9)
        bar.set_label(f"{metric_label(METRICS['gain'], comparison.runs[0].language)}; more is better")
    return figure


def _draw_curves(axes: Axes, part: pd.DataFrame, algorithms: Sequence[str]) -> None:
    """Draw a curve for each algorithm, with its interval if there are few."""
    for drawn, algorithm in zip(looks(algorithms), algorithms, strict=True):
        rows = part[part["algorithm"] == algorithm].sort_values("inner_step")
        axes.plot(rows["inner_step"], rows["mean"], markevery=max(1, len(rows) // 5), **drawn)
        if len(algorithms) > FEW:
            continue
        band = {"color": drawn["color"], "alpha": 0.07, "linewidth": 0}
        axes.fill_between(rows["inner_step"], rows["low"], rows["high"], **band)
        edge = {"color": drawn["color"], "linestyle": drawn["linestyle"], "linewidth": 0.6, "alpha": 0.5}
        for end in ("low", "high"):
            axes.plot(rows["inner_step"], rows[end], **edge)


def cut_rows(axes: Axes, part: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Leave out algorithms with outlying word perplexity, and name them below the figure.

    Args:
        axes: axes of the figure.
        part: rows to draw.
        by: columns that determine the last point of each algorithm.
    """
    outside = outliers(part, by)
    note_outside(axes, {name: written(value, None) for name, value in outside.items()})
    kept: pd.DataFrame = part[~part["algorithm"].isin(list(outside))]
    return kept


def outliers(part: pd.DataFrame, by: Sequence[str]) -> dict[str, float]:
    """Return the algorithms with outlying word perplexity at their last point, which `by` determines."""
    last = part.sort_values(list(by)).groupby("algorithm").tail(1).set_index("algorithm")["mean"]
    return {str(name): math.exp(value) for name, value in beyond(np.log(last[last > 0]).to_dict()).items()}


def note_outside(axes: Axes, values: Mapping[str, str]) -> None:
    """Name outliers beyond the axis, with their values, below the figure, where no curve is."""
    if values:
        words = "beyond the axis: " + ", ".join(f"{in_figure(name)} {value}" for name, value in values.items())
        axes.figure.supxlabel("\n".join(wrap(words, 100)), fontsize=7, color="0.3", parse_math=False)


def _name_ends(axes: Axes, part: pd.DataFrame, by: str, algorithms: Sequence[str]) -> None:
    """Write each algorithm's name next to its last point."""
    ends = part.sort_values(by).groupby("algorithm").tail(1).set_index("algorithm")["mean"]
    name_values(axes, ends.to_dict(), algorithms)


def name_values(axes: Axes, values: Mapping[Hashable, float], algorithms: Sequence[str]) -> None:
    """Write algorithms' names on the right at their values, shifted so that they do not overlap.

    Each has a sample of its line with its marker, so that the names serve as a legend.
    """
    named = [name for name in algorithms if name in values]
    if not named:
        return
    extent = axes.get_window_extent()
    gap, key = _GAP * axes.figure.dpi / extent.height, _KEY * axes.figure.dpi / extent.width
    points = axes.transData.transform([(axes.get_xlim()[1], values[name]) for name in named])
    heights = axes.transAxes.inverted().transform(points)[:, 1].tolist()
    for name, position, height in zip(
        named,
        heights,
        within(spread(heights, gap), gap),
        strict=True,
    ):
        drawn = looks(algorithms)[list(algorithms).index(name)]
        ends: dict[str, Any] = {
            "xycoords": "axes fraction",
            "textcoords": "axes fraction",
            "annotation_clip": False,
            "va": "center",
        }
        axes.annotate("", (1.0, position), (1.04, height), arrowprops={**_LEADER, "color": drawn["color"]}, **ends)
        beside_axes: dict[str, Any] = {"transform": axes.transAxes, "clip_on": False, "scalex": False, "scaley": False}
        axes.plot([1.04, 1.04 + key / 2, 1.04 + key], [height] * 3, **drawn, markevery=[1], **beside_axes)
        beside = (1.06 + key, height)
        axes.annotate(in_figure(name), beside, beside, fontsize=8, color=drawn["color"], parse_math=False, **ends)


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Move heights apart as little as possible until all are at least `gap` apart, in the same order."""
    order = sorted(range(len(heights)), key=heights.__getitem__)
    groups: list[list[int]] = []
    for position in order:
        groups.append([position])
        # A group is a block around its middle; overlapping blocks are merged.
        while len(groups) > 1 and _low(groups[-1], heights, gap) - _high(groups[-2], heights, gap) < gap:
            groups[-2:] = [groups[-2] + groups[-1]]
    moved = list(heights)
    for group in groups:
        for number, position in enumerate(group):
            moved[position] = _low(group, heights, gap) + number * gap
    return moved


def within(heights: Sequence[float], gap: float) -> list[float]:
    """Move heights that are `gap` apart into the range from 0 to 1, if possible, in the same order."""
    moved = list(heights)
    order = sorted(range(len(moved)), key=moved.__getitem__)
    for number, index in enumerate(reversed(order)):
        moved[index] = min(moved[index], 1 - number * gap)
    for number, index in enumerate(order):
        moved[index] = max(moved[index], number * gap)
    return moved


def _low(group: Sequence[int], heights: Sequence[float], gap: float) -> float:
    return sum(heights[position] for position in group) / len(group) - gap * (len(group) - 1) / 2


def _high(group: Sequence[int], heights: Sequence[float], gap: float) -> float:
    return _low(group, heights, gap) + gap * (len(group) - 1)


def perplexity_axis(axes: Axes, comparison: Comparison) -> None:
    """Set up the y-axis for word perplexity."""
    axes.set_yscale("log")
    axes.set_ylabel(f"{metric_label(METRICS['word_perplexity'], comparison.runs[0].language)}; less is better")
    low, high = axes.get_ylim()
    if high / low < 30:  # ticks only at powers of ten might leave the axis without labels
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        axes.yaxis.set_minor_locator(ticker.NullLocator())
        axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.4g}"))


def finite(comparison: Comparison, metric: str) -> pd.DataFrame:
    """Return the finite scores; without an interval its ends are the value."""
    part = comparison.scores[comparison.scores["metric"] == metric]
    part = part[np.isfinite(part["mean"])]
    drawn: pd.DataFrame = part.assign(low=part["low"].fillna(part["mean"]), high=part["high"].fillna(part["mean"]))
    return drawn


def bars(rows: pd.DataFrame) -> list["pd.Series[float]"]:
    """Return the lengths of error bars, downward and upward."""
    return [(rows["mean"] - rows["low"]).clip(lower=0), (rows["high"] - rows["mean"]).clip(lower=0)]


def panel_height(comparison: Comparison) -> float:
    """Return the height of a figure in inches, sufficient for its names."""
    return max(3.8, 0.9 + 1.25 * _GAP * len(comparison.algorithms))


def some(shots: Sequence[int]) -> list[int]:
    """Select a few numbers of shots to draw, including the smallest and the largest."""
    if len(shots) <= _PANELS:
        return list(shots)
    return [shots[position] for position in np.linspace(0, len(shots) - 1, _PANELS).round().astype(int)]
