"""Time and memory of a meta-step: `bench.json` as a table and as figures."""

from collections.abc import Iterator, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

from metadialog.text import counted

MIB = 2**20
# Colours for the colour-blind (Okabe and Ito 2008; the last of Tol 2021), each with its own marker; peers are dashed.
_BLACK, _GREY = "#000000", "#777777"
_STYLES = {
    "ordinary gradient descent": (_BLACK, "s"),
    "gradient descent": (_BLACK, "s"),
    "vectorized": ("#D55E00", "o"),
    "functional": ("#E69F00", "h"),
    "lean": ("#0072B2", "D"),
    "auto": ("#CC79A7", "x"),
    "learn2learn": ("#009E73", "^"),
    "learn2learn (peer)": ("#009E73", "v"),
    "higher (peer)": ("#E69F00", "<"),
    "torchopt (peer)": ("#56B4E9", ">"),
    "torch.func (peer)": ("#882255", "P"),
}
LABELS = {"inner_steps": "inner steps", "tasks": "tasks in the meta-batch", "hidden_size": "width of the model"}


def read_bench(path: Path) -> pd.DataFrame:
    """Read `bench.json`, with a row for each line."""
    costs = pd.read_json(path)
    costs["who"] = [
        engine if kind == "engine" else "ordinary gradient descent" if kind == "yardstick" else f"{engine} (peer)"
        for kind, engine in zip(costs["kind"], costs["engine"], strict=True)
    ]
    return costs


def bench_table(costs: pd.DataFrame) -> str:
    """Return a Markdown table, a row for each contender, in the order of the file."""
    header = (
        "| config | inner steps | who | ms a meta-step (quartiles) | tasks/s | peak MiB | times as fast as learn2learn "
        "(quartiles) | time over gradient descent (quartiles) | bound ms |\n|" + "---|" * 9
    )
    return "\n".join([header, *(_line(row) for _, row in costs.iterrows())]) + "\n"


def _line(row: "pd.Series[float]") -> str:
    cells = [
        str(row["config"]),
        str(row["inner_steps"]),
        str(row["who"]),
        f"{row['ms_median']:.1f} ({row['ms_q1']:.1f}-{row['ms_q3']:.1f})",
        f"{row['tasks_per_second']:.0f}",
        f"{row['peak_bytes'] / MIB:.0f}",
        _spread(*(1 / row[f"ratio_to_learn2learn{part}"] for part in ("", "_q3", "_q1"))),
        _spread(*(row[f"ratio_to_gd{part}"] for part in ("", "_q1", "_q3"))),
        f"{row['bound_ms']:.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


def _spread(median: float, low: float, high: float) -> str:
    return f"{median:.2f} ({low:.2f}-{high:.2f})"


def bench_figure(costs: pd.DataFrame) -> Figure:
    """Draw time and memory against inner steps, tasks and the width of the model; the bars are quartiles."""
    panels = list(_panels(costs))
    with as_file(files("metadialog.reports") / "style.mplstyle") as style, plt.style.context(style):
        figure = Figure(figsize=(3.4 * len(panels) + 2, 6))
        axes = figure.subplots(2, len(panels), squeeze=False)
        for column, (title, by, part) in enumerate(panels):
            _draw_time(axes[0, column], part, by)
            _draw_memory(axes[1, column], part, by)
            axes[0, column].set_title(title)
        axes[0, 0].set_ylabel("ms a meta-step")
        axes[1, 0].set_ylabel("peak MiB above model and data")
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center")
    return figure


def _panels(costs: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield the title, the column of the x-axis and the rows of each panel."""
    varied = costs["config"].str.contains("-")
    for config in costs.loc[~varied, "config"].unique():
        yield str(config), "inner_steps", costs[costs["config"] == config]
    for name, by in (("tasks", "tasks"), ("hidden", "hidden_size")):
        others = costs[costs["config"].str.contains(f"-{name}-")]
        if len(others):
            config, steps = others["config"].iloc[0].partition("-")[0], others["inner_steps"].iloc[0]
            own = costs[(costs["config"] == config) & (costs["inner_steps"] == steps)]
            together = pd.concat([own, others]).sort_values(by, kind="stable")
            yield f"{config}, {counted(int(steps), 'inner step')}", by, together


def _draw_time(axes: Axes, costs: pd.DataFrame, by: str) -> None:
    for who, part in costs.groupby("who", sort=False):
        spread = [part["ms_median"] - part["ms_q1"], part["ms_q3"] - part["ms_median"]]
        axes.errorbar(part[by], part["ms_median"], yerr=spread, label=str(who), **contender_style(str(who)))
    bound = costs[costs["kind"] != "yardstick"].drop_duplicates(by)
    label = "arithmetic bound of an exact step"
    axes.plot(bound[by], bound["bound_ms"], color=_GREY, linestyle=":", marker="_", label=label)
    _finish(axes, costs, by)


def _draw_memory(axes: Axes, costs: pd.DataFrame, by: str) -> None:
    for who, part in costs.groupby("who", sort=False):
        axes.plot(part[by], part["peak_bytes"] / MIB, **contender_style(str(who)))
    _finish(axes, costs, by)


def contender_style(who: str) -> dict[str, Any]:
    """Return how a contender is drawn: a colour and a marker of its own, and dashed if it is a peer."""
    color, marker = _STYLES.get(who, (_GREY, "."))
    return {"color": color, "marker": marker, "linestyle": "--" if who.endswith("(peer)") else "-"}


def _finish(axes: Axes, costs: pd.DataFrame, by: str) -> None:
    axes.set_yscale("log")
    axes.set_xlabel(LABELS[by])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    ticks = sorted(costs[by].unique())
    if by != "inner_steps":
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(ticks, [str(tick) for tick in ticks])


GROWING = {
    "tasks": "tasks in the meta-batch",
    "steps": "inner steps",
    "width": "width of the model",
    "vocabulary": "token ids",
    "length": "tokens of an exchange",
}
Point = tuple[str, int, str, float]
"""Columns: the varied size, its value, the implementation, and milliseconds."""


def growth_figure(points: Sequence[Point]) -> Figure:
    """Draw time against size, with a dotted line for growth in proportion to the size."""
    panels = list(dict.fromkeys(against for against, *_ in points))
    with as_file(files("metadialog.reports") / "style.mplstyle") as style, plt.style.context(style):
        figure = Figure(figsize=(2.9 * len(panels) + 1.8, 3.6))
        axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for number, (panel, against) in enumerate(zip(axes, panels, strict=True)):
            own = [point for point in points if point[0] == against]
            sizes = sorted({size for _, size, _, _ in own})
            for who in dict.fromkeys(point[2] for point in own):
                times = [(size, ms) for _, size, one, ms in own if one == who]
                panel.plot(*zip(*sorted(times), strict=True), label=who, **contender_style(who))
            least = min(ms for *_, ms in own)
            proportional = [least * size / sizes[0] for size in sizes]
            panel.plot(sizes, proportional, color="#777777", linestyle=":", label="proportional")
            panel.set_xscale("log")
            panel.set_yscale("log")
            panel.set_xlabel(GROWING.get(against, against))
            panel.xaxis.set_minor_locator(NullLocator())
            panel.set_xticks(sizes, [f"{size:,}" for size in sizes])
            panel.yaxis.set_major_locator(LogLocator(numticks=12))
            panel.yaxis.set_minor_formatter(NullFormatter())
            if number == 0:
                panel.set_ylabel("ms a meta-step")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
    return figure
