"""Plots of the adaptation curves of one run."""

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from metadialog.evaluation.summary import perplexity
from metadialog.reports.figures import style
from metadialog.reports.looks import looks
from metadialog.text import counted


def plot_adaptation(records: pd.DataFrame, axes: Axes | None = None) -> Axes:
    """Plot word perplexity on the held-out topics against the inner step, one curve for each number of shots.

    Args:
        records: adaptation records of a run.
        axes: axes to draw on; None for new ones.
    """
    with style():
        drawn = plt.subplots()[1] if axes is None else axes
        all_shots = sorted({int(shots) for shots in records["shots"]})
        for look, shots in zip(looks([str(shots) for shots in all_shots]), all_shots, strict=True):
            part = records[records["shots"] == shots]
            steps = sorted({int(step) for step in part["inner_step"]})
            heights = [perplexity(part[part["inner_step"] == step]) for step in steps]
            drawn.plot(steps, heights, label=counted(shots, "shot"), **look)
        drawn.set_xlabel("inner step")
        drawn.set_ylabel("word perplexity")
        drawn.xaxis.set_major_locator(MaxNLocator(integer=True))
        drawn.set_title(str(records["algorithm"].iloc[0]))
        drawn.legend()
    return drawn
