"""Warnings about comparisons with too few seeds, topics or episodes."""

import pytest

from metadialog.statistics.adequacy import MIN_SEEDS, MIN_TOPICS, warnings
from metadialog.statistics.paired import permutation_p_value


def test_enough_is_not_warned_of() -> None:
    assert warnings(MIN_SEEDS, MIN_TOPICS, 2) == []


@pytest.mark.parametrize(
    ("sizes", "begins"),
    [
        ((1, 9, 9), "One seed: "),
        ((4, 9, 9), "4 seeds: too few"),
        ((9, 5, 9), "5 topics: too few"),
        ((9, 1, 9), "One topic: too few"),
        ((9, 9, 1), "A topic with one episode: "),
    ],
)
def test_each_level_is_named_with_its_rule(sizes: tuple[int, int, int], begins: str) -> None:
    [found] = warnings(*sizes)
    assert found.startswith(begins)
    assert "rule: at least" in found


def test_the_rule_for_topics_is_what_a_test_over_topics_needs() -> None:
    import numpy as np

    def least(topics: int) -> float:
        return float(permutation_p_value(np.ones((topics, 1)), np.arange(topics), 100, np.random.default_rng(0))[0])

    assert least(MIN_TOPICS) < 0.05 <= least(MIN_TOPICS - 1)
