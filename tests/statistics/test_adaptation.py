import pandas as pd
import pytest

from metadialog.statistics.adaptation import adaptation_curves, adaptation_gain

ROWS = [
    # split, topic, episode, shots, inner_step, loss
    ("meta_test", "food", 0, 1, 0, 9.0),
    ("meta_test", "food", 0, 5, 0, 4.0),
    ("meta_test", "food", 0, 5, 3, 2.0),
    ("meta_test", "food", 1, 5, 0, 6.0),
    ("meta_test", "food", 1, 5, 3, 3.0),
    ("meta_test", "art", 0, 5, 0, 5.0),
    ("meta_test", "art", 0, 5, 3, 4.0),
    ("meta_validation", "art", 0, 5, 0, 100.0),
]


def frame(rows: list[tuple[str, str, int, int, int, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["split", "topic", "episode", "shots", "inner_step", "loss"])


def test_a_curve_is_the_mean_over_the_episodes_with_most_shots_on_meta_test() -> None:
    assert adaptation_curves(frame(ROWS)) == {"art": {0: 5.0, 3: 4.0}, "food": {0: 5.0, 3: 2.5}}


def test_the_gain_is_the_fall_of_the_mean_loss() -> None:
    assert adaptation_gain(frame(ROWS)) == {"loss_before": 5.0, "loss_after": 3.0, "gain": 2.0}


def test_other_splits_count_where_meta_test_is_absent() -> None:
    assert adaptation_curves(frame(ROWS[-1:])) == {"art": {0: 100.0}}


def test_without_inner_steps_nothing_is_gained() -> None:
    rows = [row for row in ROWS if row[4] == 0]
    assert adaptation_gain(frame(rows))["gain"] == pytest.approx(0.0)


def test_no_records_no_curves() -> None:
    assert adaptation_curves(frame([])) == {}
    assert adaptation_gain(frame([])) == {}
