"""The figures of a study: progress, tried values, and importance of options."""

import warnings
from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import optuna
from matplotlib import pyplot as plt
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from metadialog.runs.atomic import replacing
from metadialog.text import counted

LOSS = "validation loss (nats a token)"
FEWEST = 2  # minimum number of finished trials for figures
ENOUGH = 10  # finished trials per option below which importances are marked as uncertain
_COLOURS = "cividis"  # distinguishable in grey and by the colour-blind


def write_figures(study: optuna.Study, directory: Path) -> list[Path]:
    """Write `importance.png`, `parallel_coordinates.png` and `best_so_far.png`, if there are enough trials.

    Returns:
        The files.
    """
    finished = [trial for trial in study.get_trials(deepcopy=False) if trial.state == TrialState.COMPLETE]
    if len(finished) < FEWEST:
        return []
    style = files("metadialog.reports").joinpath("style.mplstyle")
    with as_file(style) as path, plt.style.context(str(path)):
        return [
            _write(directory / "importance.png", importance_figure(study, finished)),
            _write(directory / "parallel_coordinates.png", coordinates_figure(finished)),
            _write(directory / "best_so_far.png", progress_figure(finished)),
        ]


def importance_figure(study: optuna.Study, finished: Sequence[FrozenTrial]) -> Figure:
    """Plot the importance of each option by PED-ANOVA (Watanabe et al. 2023)."""
    shares = _importances(study)
    names = list(reversed(shares)) or ["nothing varies"]
    figure = Figure(figsize=(5.5, 1.1 + 0.3 * len(names)))
    axes = figure.subplots()
    axes.barh(names, [shares.get(name, 0.0) for name in names], color="#0072B2", height=0.6)
    axes.set_xlim(0, 1.08)
    for row, name in enumerate(names):
        axes.text(shares.get(name, 0.0) + 0.01, row, f"{shares.get(name, 0.0):.2f}", va="center", fontsize=8)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("share of the differences in loss that the option explains")
    needed = ENOUGH * max(1, len(shares))
    few = f"; too few to rely on: take {needed} or more" if len(finished) < needed else ""
    axes.set_title(f"{counted(len(finished), 'finished trial')}{few}", loc="left")
    return figure


def _importances(study: optuna.Study) -> dict[str, float]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # the default estimate needs scikit-learn
            return dict(get_param_importances(study, evaluator=PedAnovaImportanceEvaluator()))
    except (RuntimeError, ValueError):  # all losses or all values are equal
        return {}


def coordinates_figure(finished: Sequence[FrozenTrial]) -> Figure:
    """Plot each trial as a line over its options, coloured by loss; the best one is on top."""
    names = list(dict.fromkeys(name for trial in finished for name in trial.params))
    figure = Figure(figsize=(1.6 + 1.35 * max(2, len(names)), 3.6))
    axes = figure.subplots()
    losses = np.array([trial.value for trial in finished], dtype=float)
    shown = Normalize(float(losses.min()), float(np.quantile(losses, 0.9)))
    heights = np.array([_heights(name, finished) for name in names]).reshape(len(names), len(finished))
    colours = plt.get_cmap(_COLOURS)
    for index in np.argsort(-losses):
        best = index == int(losses.argmin())
        width, alpha = (2.6, 1.0) if best else (1.0, 0.7)
        axes.plot(range(len(names)), heights[:, index], color=colours(shown(losses[index])), lw=width, alpha=alpha)
    for position, name in enumerate(names):
        _mark(axes, position, name, finished)
    axes.set_xticks(range(len(names)), [name.replace(".", ".\n", 1) for name in names])
    axes.set_yticks([])
    axes.set_xlim(-0.3, len(names) - 0.4)
    axes.set_ylim(-0.08, 1.08)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.grid(visible=False)
    axes.set_title("Options of each trial; the thick line is the best", loc="left")
    mappable = plt.cm.ScalarMappable(norm=shown, cmap=colours)
    figure.colorbar(mappable, ax=axes, label=LOSS, extend="max", pad=0.02)
    return figure


def _values(name: str, finished: Sequence[FrozenTrial]) -> list[object]:
    """Return the values of an option, sorted; choices are in the order of the search space."""
    values = {trial.params[name] for trial in finished if name in trial.params}
    if all(isinstance(value, int | float) for value in values):
        return sorted(values)
    space = next(trial.distributions[name] for trial in finished if name in trial.params)
    listed = list(space.choices) if isinstance(space, CategoricalDistribution) else sorted(values, key=str)
    return [value for value in listed if value in values]


def _scale(name: str, finished: Sequence[FrozenTrial]) -> Mapping[object, float]:
    """Return the height of each value of an option, between 0 and 1; choices are evenly spaced."""
    values = _values(name, finished)
    space = next(trial.distributions[name] for trial in finished if name in trial.params)
    if isinstance(space, CategoricalDistribution) or len(values) < FEWEST:
        places = np.linspace(0, 1, len(values)) if len(values) > 1 else np.array([0.5])
    else:
        numbers = np.array(values, dtype=float)
        numbers = np.log(numbers) if getattr(space, "log", False) else numbers
        places = (numbers - numbers.min()) / (numbers.max() - numbers.min())
    return dict(zip(values, places.tolist(), strict=True))


def _heights(name: str, finished: Sequence[FrozenTrial]) -> NDArray[np.float64]:
    scale = _scale(name, finished)
    return np.array([scale.get(trial.params.get(name), np.nan) for trial in finished], dtype=float)


def _mark(axes: Axes, position: int, name: str, finished: Sequence[FrozenTrial]) -> None:
    """Draw an option's axis with labels on a background, so that no line crosses them."""
    axes.axvline(position, color="0.4", linewidth=0.8, zorder=5)
    scale = _scale(name, finished)
    space = next(trial.distributions[name] for trial in finished if name in trial.params)
    every = isinstance(space, CategoricalDistribution) or len(scale) <= 6
    ends = list(scale) if every else [next(iter(scale)), list(scale)[-1]]
    ground = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
    for value in ends:
        text = f"{value:.3g}" if isinstance(value, float) else str(value)
        axes.text(position + 0.04, scale[value], text, fontsize=7, va="center", bbox=ground, zorder=6, parse_math=False)


def progress_figure(finished: Sequence[FrozenTrial]) -> Figure:
    """Plot the loss of each trial, and the lowest so far."""
    numbers = [trial.number for trial in finished]
    losses = np.array([trial.value for trial in finished], dtype=float)
    figure = Figure(figsize=(5.5, 3.4))
    axes = figure.subplots()
    axes.plot(numbers, losses, "o", color="#56B4E9", markersize=4, label="a trial")
    axes.step(numbers, np.minimum.accumulate(losses), where="post", color="#0072B2", label="the best so far")
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    axes.set_xlabel("trial")
    axes.set_ylabel(LOSS)
    top = float(np.quantile(losses, 0.9)) + (float(np.quantile(losses, 0.9)) - float(losses.min())) * 0.5
    beyond = int((losses > top).sum())
    if beyond and top > losses.min():
        axes.set_ylim(top=top)
        axes.set_title(f"{beyond} beyond the axis", loc="right", fontsize=8)
    axes.legend()
    return figure


def _write(path: Path, figure: Figure) -> Path:
    with replacing(path) as partial:
        figure.savefig(partial, format=path.suffix.removeprefix("."))
    return path
