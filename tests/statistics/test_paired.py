"""Tests between two algorithms: known values, scipy's values, symmetry, and error rates."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from metadialog.statistics.bootstrap import Bootstrapped, bootstrap
from metadialog.statistics.metrics import METRICS
from metadialog.statistics.paired import Difference, Test, compare, effect_size, permutation_p_value, standard_error
from metadialog.statistics.panel import Panel, make_panel, unit_values

Records = Callable[..., pd.DataFrame]
Test.__test__ = False  # type: ignore[attr-defined]


def panel(records: pd.DataFrame) -> Panel:
    units = sorted(set(zip(records["topic"], records["episode"], strict=True)))
    return make_panel(records, METRICS["loss"], units, [(1, 0)])


def boot(records: pd.DataFrame) -> Bootstrapped:
    return bootstrap(panel(records), 1000, 0)


def difference(first: pd.DataFrame, second: pd.DataFrame, test: Test = "bootstrap") -> Difference:
    return compare(boot(first), boot(second), test, 0.95, np.random.default_rng(0))


def test_an_exact_permutation_p_value_by_hand() -> None:
    # Of the 8 patterns of signs of 1, 2, 3, only all plus and all minus reach |6|.
    p_value = permutation_p_value(np.array([[1.0], [2.0], [3.0]]), np.arange(3), 100, np.random.default_rng(0))
    assert p_value == pytest.approx(2 / 8)
    # Two groups, 1 + 2 and -3: the sum is 0, which every pattern reaches.
    grouped = permutation_p_value(np.array([[1.0], [2.0], [-3.0]]), np.array([0, 0, 1]), 100, np.random.default_rng(0))
    assert grouped == pytest.approx(1)


def test_permutations_agree_with_scipy() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(0.3, 1, size=(10, 1))
    reference = stats.permutation_test(
        (values[:, 0], np.zeros(10)), lambda x, y, axis: (x - y).mean(axis), permutation_type="samples",
        vectorized=True, n_resamples=np.inf,
    )  # fmt: skip
    found = permutation_p_value(values, np.arange(10), 2000, rng)
    assert found[0] == pytest.approx(reference.pvalue)


def test_drawn_permutations_come_near_the_wilcoxon_and_t_tests() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(0.25, 1, size=(60, 1))
    found = permutation_p_value(values, np.arange(60), 20_000, rng)[0]
    assert found == pytest.approx(stats.ttest_1samp(values[:, 0], 0).pvalue, abs=0.02)
    assert found == pytest.approx(stats.wilcoxon(values[:, 0]).pvalue, abs=0.1)
    assert permutation_p_value(values + 9, np.arange(60), 999, rng)[0] == pytest.approx(1 / 1000)


@pytest.mark.parametrize("test", ["bootstrap", "permute_topics", "permute_episodes"])
def test_an_algorithm_does_not_differ_from_itself(simulated: Records, test: Test) -> None:
    records = simulated(np.random.default_rng(0))
    found = difference(records, records, test)
    assert [found.value[0], found.effect[0], found.p_value[0]] == [0, 0, 1]
    assert found.low[0] == found.high[0] == 0


@pytest.mark.parametrize("test", ["bootstrap", "permute_topics", "permute_episodes"])
def test_the_order_of_two_changes_signs_alone(simulated: Records, test: Test) -> None:
    rng = np.random.default_rng(0)
    first = simulated(rng)
    second = first.assign(loss=first["loss"] + rng.normal(0.1, 0.1, len(first)))
    here, there = difference(first, second, test), difference(second, first, test)
    assert here.p_value == pytest.approx(there.p_value)
    assert here.value == pytest.approx(-there.value)
    assert here.effect == pytest.approx(-there.effect)
    assert [here.low[0], here.high[0]] == pytest.approx([-there.high[0], -there.low[0]])


def test_what_is_common_to_both_does_not_matter(simulated: Records) -> None:
    rng = np.random.default_rng(0)
    first = simulated(rng)
    second = first.assign(loss=first["loss"] + rng.normal(0.05, 0.02, len(first)))
    harder = pd.Series(rng.normal(0, 5, 5), index=[f"t{n}" for n in range(5)])
    by_topic = first["topic"].map(harder)
    plain = difference(first, second)
    shifted = difference(first.assign(loss=first["loss"] + by_topic), second.assign(loss=second["loss"] + by_topic))
    assert plain.p_value[0] < 0.05
    assert shifted.value == pytest.approx(plain.value)
    assert shifted.effect == pytest.approx(plain.effect)


def test_intervals_and_p_values_say_the_same(simulated: Records) -> None:
    rng = np.random.default_rng(0)
    for shift in np.linspace(0, 0.3, 12):
        first = simulated(rng)
        second = first.assign(loss=first["loss"] + rng.normal(shift, 0.3, len(first)))
        found = difference(first, second)
        assert (found.low[0] <= 0 <= found.high[0]) == (found.p_value[0] >= 0.05)


def test_a_standard_error_is_corrected_for_few_seeds_and_topics(simulated: Records) -> None:
    """With n seeds only, the bootstrap's standard error is that of the mean, times sqrt((n - 1) / n)."""
    assert standard_error(np.array([[1.0], [2.0], [3.0]]), np.array([2.0])) == pytest.approx(np.sqrt(3 / 2))
    rng = np.random.default_rng(3)
    sizes, spreads = (4, 1, 1), (0.5, 0.0, 0.0, 0.0)
    first, second = (simulated(rng, sizes, spreads, tokens=(40, 40)) for _ in range(2))
    pairs = (first["loss"] - second["loss"]).to_numpy()
    boots = [bootstrap(panel(records), 20_000, 0) for records in (first, second)]
    found = compare(boots[0], boots[1], "bootstrap", 0.95, np.random.default_rng(0))
    expected = stats.ttest_1samp(pairs, 0)
    interval = expected.confidence_interval(0.95)
    assert found.p_value[0] == pytest.approx(expected.pvalue, rel=0.03)
    assert found.high[0] - found.low[0] == pytest.approx(interval.high - interval.low, rel=0.03)


def test_panels_of_other_seeds_are_refused(simulated: Records) -> None:
    records = simulated(np.random.default_rng(0))
    with pytest.raises(ValueError, match="same seeds"):
        difference(records, records[records["seed"] > 0])


def test_few_topics_cannot_be_told_apart_by_swapping_them(simulated: Records) -> None:
    first = simulated(np.random.default_rng(0), (3, 5, 4))
    found = difference(first, first.assign(loss=first["loss"] + 1), "permute_topics")
    assert found.p_value[0] == pytest.approx(2 / 2**5)


def test_the_effect_is_the_mean_over_the_deviation_of_pairs(simulated: Records) -> None:
    rng = np.random.default_rng(0)
    first, second = simulated(rng), simulated(rng)
    pairs = (unit_values(panel(first)) - unit_values(panel(second)))[:, 0]
    assert effect_size(panel(first), panel(second))[0] == pytest.approx(pairs.mean() / pairs.std(ddof=1))
    # The paired t statistic divided by the square root of the number of pairs (Lakens 2013).
    t_value = stats.ttest_1samp(pairs, 0).statistic
    assert effect_size(panel(first), panel(second))[0] == pytest.approx(t_value / np.sqrt(len(pairs)))


def test_where_there_is_no_difference_few_are_found(simulated: Records) -> None:
    """Two algorithms differ by topic, seed and episode, but not on average: the error rate should be 5 %."""
    rng, trials = np.random.default_rng(5), 200
    wrong = {"bootstrap": 0, "permute_topics": 0}
    for trial in range(trials):
        pair = [panel(simulated(rng, (3, 8, 4), (0.1, 0.3, 0.2, 0.2), tokens=(40, 40))) for _ in range(2)]
        boots = [bootstrap(one, 200, trial) for one in pair]
        for test in ("bootstrap", "permute_topics"):
            found = compare(boots[0], boots[1], test, 0.95, rng)
            wrong[test] += int(found.p_value[0] < 0.05)
    # The error rates of both are within three standard errors of the level, and not zero.
    assert all(0 < count / trials <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / trials) for count in wrong.values()), wrong


def test_a_difference_that_is_there_is_found(simulated: Records) -> None:
    rng = np.random.default_rng(6)
    first = simulated(rng, (3, 8, 4))
    second = first.assign(loss=first["loss"] + rng.normal(0.2, 0.1, len(first)))
    for test in ("bootstrap", "permute_topics", "permute_episodes"):
        found = difference(first, second, test)
        assert found.p_value[0] < 0.01
        assert found.low[0] <= -0.2 <= found.high[0]
