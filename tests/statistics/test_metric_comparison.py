"""The tests between algorithms in a column: the family of tests, and its correction."""

import numpy as np
import pandas as pd
import pytest

from metadialog.statistics.comparison import RecordComparison, compare_records
from metadialog.statistics.metric_comparison import Settings

ALGORITHMS = {"best": 0.0, "near": 0.02, "nearer": 0.01, "far": 0.5}


@pytest.fixture(scope="module")
def records() -> pd.DataFrame:
    """Random records of four algorithms on the same twelve episodes with three seeds."""
    rng = np.random.default_rng(0)
    units = [(f"topic {number % 6}", number // 6) for number in range(12)]
    rows = [
        {
            "algorithm": algorithm, "dataset": "talk", "seed": seed, "topic": topic, "episode": episode, "shots": shots,
            "inner_step": step, "loss": 3 + worse + 0.05 * rng.standard_normal() - 0.1 * step, "tokens": 4, "words": 3,
        }
        for algorithm, worse in ALGORITHMS.items()
        for seed in range(3)
        for topic, episode in units
        for shots in (1, 5)
        for step in (0, 1)
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    return frame.assign(word_perplexity=np.exp(frame["loss"] * frame["tokens"] / frame["words"]))


@pytest.fixture(scope="module")
def compared(records: pd.DataFrame) -> RecordComparison:
    return compare_records(records, Settings(200, 0.95, "bootstrap", 0.05, 0, baseline="far"))


@pytest.mark.parametrize("against", ["best", "baseline"])
def test_the_tests_of_a_column_are_corrected_together(compared: RecordComparison, against: str) -> None:
    """Holm 1979 by hand: with three tests the smallest p-value counts three times, the next twice, the last once."""
    table = compared.differences if against == "best" else compared.baseline_differences
    families = [family for _, family in table.groupby(["metric", "shots", "inner_step"])]
    assert len(families) >= 4
    changed = 0
    for family in families:
        assert len(family) == 3
        found = family.sort_values("p_value")
        times = found["p_value"].to_numpy() * np.array([3, 2, 1])
        expected = np.minimum(1, np.maximum.accumulate(times))
        assert found["p_value_holm"].to_numpy() == pytest.approx(expected)
        changed += int((found["p_value_holm"] > found["p_value"]).any())
    assert changed > 0


def test_the_scores_carry_the_corrected_values(compared: RecordComparison) -> None:
    corrected = compared.differences.set_index(["metric", "shots", "inner_step", "algorithm"])["p_value_holm"]
    scores = compared.scores.set_index(["metric", "shots", "inner_step", "algorithm"])["p_value_vs_best"].dropna()
    assert len(scores) == len(corrected)
    pd.testing.assert_series_equal(scores, corrected[scores.index], check_names=False)


def test_what_an_algorithm_was_not_scored_on_is_not_counted(records: pd.DataFrame) -> None:
    lacks = (records["algorithm"] == "near") & (records["topic"] == "topic 5")
    lacks |= (records["algorithm"] == "near") & (records["episode"] == 1) & (records["topic"] == "topic 4")
    settings = Settings(100, 0.95, "bootstrap", 0.05, 0)
    scores = compare_records(records[~lacks], settings).scores.set_index("algorithm")
    counted = scores[["seeds", "topics", "episodes"]]
    assert counted.loc["near"].drop_duplicates().to_numpy().tolist() == [[3, 5, 9]]
    assert counted.loc["far"].drop_duplicates().to_numpy().tolist() == [[3, 6, 12]]
