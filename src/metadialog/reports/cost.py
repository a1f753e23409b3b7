"""The cost of the meta-gradient: `bench.json` as a table and as a figure."""

from importlib.resources import as_file, files
from pathlib import Path

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

MIB = 2**20


def read_costs(path: Path) -> pd.DataFrame:
    """Read `bench.json`, one row a line of it."""
    costs = pd.read_json(path)
    costs["who"] = [
        engine if kind == "engine" else "ordinary gradient descent" if kind == "yardstick" else f"{engine} (peer)"
        for kind, engine in zip(costs["kind"], costs["engine"], strict=True)
    ]
    return costs


def cost_table(costs: pd.DataFrame) -> str:
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


def cost_figure(costs: pd.DataFrame) -> Figure:
    """Draw time and memory against inner steps, a column for each configuration; the bars are quartiles."""
    configs = list(costs["config"].unique())
    with as_file(files("metadialog.reports") / "style.mplstyle") as style, plt.style.context(style):
        figure = Figure(figsize=(3.6 * len(configs) + 2, 6))
        axes = figure.subplots(2, len(configs), squeeze=False)
        for column, config in enumerate(configs):
            part = costs[costs["config"] == config]
            _draw_time(axes[0, column], part)
            _draw_memory(axes[1, column], part)
            axes[0, column].set_title(str(config))
        axes[0, 0].set_ylabel("ms a meta-step")
        axes[1, 0].set_ylabel("peak MiB above model and data")
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center")
    return figure


def _draw_time(axes: Axes, costs: pd.DataFrame) -> None:
    for place, (who, part) in enumerate(costs.groupby("who", sort=False)):
        spread = [part["ms_median"] - part["ms_q1"], part["ms_q3"] - part["ms_median"]]
        axes.errorbar(
            part["inner_steps"], part["ms_median"], yerr=spread, marker="o", label=str(who), color=f"C{place}"
        )
    bound = costs[costs["kind"] != "yardstick"].drop_duplicates("inner_steps")
    axes.plot(bound["inner_steps"], bound["bound_ms"], color="black", linestyle=":", label="arithmetic bound")
    _finish(axes, costs)


def _draw_memory(axes: Axes, costs: pd.DataFrame) -> None:
    for place, (_, part) in enumerate(costs.groupby("who", sort=False)):
        axes.plot(part["inner_steps"], part["peak_bytes"] / MIB, marker="o", color=f"C{place}")
    _finish(axes, costs)


def _finish(axes: Axes, costs: pd.DataFrame) -> None:
    axes.set_yscale("log")
    axes.set_xlabel("inner steps")
    axes.set_xticks(sorted(costs["inner_steps"].unique()))
