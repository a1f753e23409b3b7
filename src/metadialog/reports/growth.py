"""A figure of how the cost of a meta-step grows, with logarithmic axes and a panel for each varied size."""

from collections.abc import Sequence
from importlib.resources import as_file, files

from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

from metadialog.reports.cost import contender_style

LABELS = {
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
            panel.set_xlabel(LABELS.get(against, against))
            panel.xaxis.set_minor_locator(NullLocator())
            panel.set_xticks(sizes, [f"{size:,}" for size in sizes])
            panel.yaxis.set_major_locator(LogLocator(numticks=12))
            panel.yaxis.set_minor_formatter(NullFormatter())
            if number == 0:
                panel.set_ylabel("ms a meta-step")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
    return figure
