"""Optuna's own figures of a study, in the house's style."""

import logging
import warnings
from importlib.resources import as_file, files
from pathlib import Path
from typing import cast

import optuna
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState
from optuna.visualization import matplotlib as plots

from metadialog.runs.atomic import replacing

LOSS = "validation loss (nats per token)"
MOST_BINS = 2  # finished trials that figures need at the least

_log = logging.getLogger(__name__)


def write_figures(study: optuna.Study, directory: Path) -> list[Path]:
    """Write `importance.png`, `parallel_coordinates.png` and `best_so_far.png`, as far as there are trials for them.

    Returns:
        The files.
    """
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(finished) < MOST_BINS:
        return []
    style = files("metadialog.reports").joinpath("style.mplstyle")
    with as_file(style) as path, plt.style.context(str(path)), warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # what Optuna draws with matplotlib
        return [
            _write(directory / "importance.png", plots.plot_param_importances(study, target_name=LOSS)),
            _write(directory / "parallel_coordinates.png", plots.plot_parallel_coordinate(study, target_name=LOSS)),
            _write(directory / "best_so_far.png", plots.plot_optimization_history(study, target_name=LOSS)),
        ]


def _write(path: Path, axes: Axes) -> Path:
    figure = cast("Figure", axes.get_figure(root=True))
    figure.set_size_inches(1.6 * figure.get_figwidth(), figure.get_figheight())
    with replacing(path) as partial:
        figure.savefig(partial, format=path.suffix.removeprefix("."))
    plt.close(figure)
    return path
