"""The figures of a study: complete trials, readable option values, and a note if there are few trials."""

from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import create_trial

from metadialog.sweeps.figures import coordinates_figure, importance_figure, progress_figure, write_figures

SPACE = {
    "algorithm.inner_lr": FloatDistribution(0.03, 3.0, log=True),
    "algorithm.inner_steps": IntDistribution(1, 5),
    "model.hidden_size": CategoricalDistribution((64, 128, 256)),
}


def study(trials: int) -> optuna.Study:
    made = optuna.create_study()
    for number in range(trials):
        rate, steps = 0.03 * 1.15**number, 1 + number % 5
        params = {
            "algorithm.inner_lr": rate,
            "algorithm.inner_steps": steps,
            "model.hidden_size": (64, 128, 256)[number % 3],
        }
        made.add_trial(create_trial(params=params, distributions=SPACE, value=4.0 + (rate - 0.5) ** 2 + 0.01 * steps))
    return made


def test_trials_are_whole_numbers_and_options_are_named(tmp_path: Path) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    some = study(12)
    assert [path.name for path in write_figures(some, tmp_path)] == [
        "importance.png",
        "parallel_coordinates.png",
        "best_so_far.png",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())
    figure = progress_figure(some.trials)
    assert all(float(tick).is_integer() for tick in figure.axes[0].get_xticks())
    axes = coordinates_figure(some.trials).axes[0]
    assert [text.get_text().replace("\n", "") for text in axes.get_xticklabels()] == list(SPACE)
    written = {text.get_text() for text in axes.texts}
    assert {"64", "128", "256", "0.03", "1", "5"} <= written


@pytest.mark.parametrize(("trials", "few"), [(5, True), (30, False)])
def test_importances_say_when_trials_are_too_few(trials: int, few: bool) -> None:
    title = importance_figure(study(trials), study(trials).trials).axes[0].get_title(loc="left")
    assert title.startswith(f"{trials} finished trials")
    assert ("too few" in title) == few


def test_one_trial_is_not_drawn(tmp_path: Path) -> None:
    assert write_figures(study(1), tmp_path) == []
