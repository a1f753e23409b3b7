"""The hierarchical bootstrap: its draws, and the coverage of its intervals."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from metadialog.statistics.bootstrap import (
    bootstrap,
    degrees_of_freedom,
    distribution,
    expanded_quantiles,
    interval,
    resample,
)
from metadialog.statistics.metrics import METRICS
from metadialog.statistics.panel import Panel, estimate, make_panel, residuals

Records = Callable[..., pd.DataFrame]
TOPICS = np.array([0, 0, 0, 1, 2, 2])


def panel(records: pd.DataFrame) -> Panel:
    units = sorted(set(zip(records["topic"], records["episode"], strict=True)))
    return make_panel(records, METRICS["loss"], units, [(1, 0)])


def test_a_resample_has_as_many_seeds_and_topics_as_there_are() -> None:
    drawn = resample(4, TOPICS, 500, np.random.default_rng(0))
    assert (drawn.seeds.sum(axis=1) == 4).all()
    per_topic = np.stack([drawn.units[:, np.flatnonzero(topic == TOPICS)].mean(axis=1) for topic in range(3)])
    assert (per_topic == per_topic.round()).all()
    assert (per_topic.sum(axis=0) == 3).all()


def test_every_seed_and_episode_is_drawn_once_on_average() -> None:
    drawn = resample(4, TOPICS, 20_000, np.random.default_rng(0))
    assert drawn.seeds.mean(axis=0) == pytest.approx(1, abs=0.03)
    assert drawn.units.mean(axis=0) == pytest.approx(1, abs=0.04)


def test_a_distribution_is_the_estimate_of_what_was_drawn(simulated: Records) -> None:
    records = simulated(np.random.default_rng(3))
    found = panel(records)
    drawn = resample(3, found.topics, 5, np.random.default_rng(4))
    for counts_of_seeds, counts_of_units, value in zip(
        drawn.seeds, drawn.units, distribution(found, drawn)[:, 0], strict=True
    ):
        one_by_one = [
            (found.total[seed, unit, 0], found.weight[seed, unit, 0])
            for seed in np.repeat(np.arange(3), counts_of_seeds.astype(int))
            for unit in np.repeat(np.arange(len(found.units)), counts_of_units.astype(int))
        ]
        totals, weights = zip(*one_by_one, strict=True)
        assert value == pytest.approx(sum(totals) / sum(weights))


def test_the_same_seed_gives_the_same_numbers(simulated: Records) -> None:
    found = panel(simulated(np.random.default_rng(0)))
    first, again, other = (bootstrap(found, 200, seed).drawn for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_shift_of_all_losses_shifts_the_interval(simulated: Records) -> None:
    records = simulated(np.random.default_rng(0))
    here = interval(bootstrap(panel(records), 500, 0), 0.95)
    there = interval(bootstrap(panel(records.assign(loss=2 * records["loss"] + 1)), 500, 0), 0.95)
    assert np.array(there) == pytest.approx(2 * np.array(here) + 1)


def test_more_confidence_is_a_wider_interval(simulated: Records) -> None:
    boot = bootstrap(panel(simulated(np.random.default_rng(0))), 5000, 0)
    ends = [np.concatenate(interval(boot, confidence)) for confidence in (0.5, 0.9, 0.99)]
    assert all(np.diff([end[0] for end in ends]) < 0)
    assert all(np.diff([end[1] for end in ends]) > 0)


def test_many_degrees_of_freedom_are_plain_percentiles() -> None:
    drawn = np.random.default_rng(0).normal(size=(5000, 1))
    low, high = expanded_quantiles(drawn, np.array([1e7]), 0.95)
    assert [low[0], high[0]] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=1e-4)


def test_few_degrees_of_freedom_expand_as_hesterberg_writes() -> None:
    # For a normal distribution: quantiles of Student's t, widened by sqrt(n / (n - 1)).
    drawn = np.sort(stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000))[:, None]
    low, _ = expanded_quantiles(np.repeat(drawn, 2, axis=1), np.array([9.0, 19.0]), 0.95)
    by_hand = [-np.sqrt(n / (n - 1)) * stats.t.ppf(0.975, n - 1) for n in (10, 20)]
    assert low == pytest.approx(by_hand, abs=1e-3)


def test_degrees_of_freedom_are_those_of_the_level_that_varies(simulated: Records) -> None:
    rng = np.random.default_rng(0)
    only_topics = panel(simulated(rng, (4, 9, 3), (0, 1, 0, 0), tokens=(40, 40)))
    only_seeds = panel(simulated(rng, (4, 9, 3), (1, 0, 0, 0), tokens=(40, 40)))
    assert degrees_of_freedom(residuals(only_topics), only_topics.topics) == pytest.approx(8)
    assert degrees_of_freedom(residuals(only_seeds), only_seeds.topics) == pytest.approx(3)


def test_what_does_not_vary_has_an_interval_of_no_length(simulated: Records) -> None:
    still = panel(simulated(np.random.default_rng(0), spreads=(0, 0, 0, 0)))
    low, high = interval(bootstrap(still, 300, 0), 0.95)
    assert [low[0], high[0]] == pytest.approx([3, 3])


@pytest.mark.parametrize("sizes", [(1, 5, 4), (3, 1, 4), (1, 1, 6)])
def test_one_seed_or_one_topic_leaves_the_rest_to_vary(simulated: Records, sizes: tuple[int, int, int]) -> None:
    found = panel(simulated(np.random.default_rng(0), sizes))
    low, high = interval(bootstrap(found, 500, 0), 0.95)
    assert low[0] < estimate(found)[0] < high[0]


def test_one_of_everything_has_no_interval(simulated: Records) -> None:
    low, high = interval(bootstrap(panel(simulated(np.random.default_rng(0), (1, 1, 1))), 100, 0), 0.95)
    assert np.isnan(low[0])
    assert np.isnan(high[0])


def test_what_diverged_has_no_interval(simulated: Records) -> None:
    records = simulated(np.random.default_rng(0))
    for loss in (np.inf, np.nan):
        found = panel(records.assign(loss=records["loss"].where(records.index != 0, loss)))
        assert not np.isfinite(estimate(found)[0])
        assert np.isnan(interval(bootstrap(found, 100, 0), 0.95)[0][0])


@pytest.mark.parametrize(
    ("sizes", "spreads"),
    [
        ((3, 7, 5), (0.05, 1.0, 0.5, 0.3)),  # as in studies with few seeds: topics vary most
        ((5, 10, 5), (0.3, 0.4, 0.3, 0.3)),
        ((10, 15, 4), (0.1, 0.5, 0.3, 0.2)),
    ],
)
def test_intervals_cover_the_truth_about_as_often_as_they_say(
    simulated: Records, sizes: tuple[int, int, int], spreads: tuple[float, float, float, float]
) -> None:
    rng, trials = np.random.default_rng(7), 200
    covered = 0
    for trial in range(trials):
        found = panel(simulated(rng, sizes, spreads, tokens=(40, 40)))
        low, high = interval(bootstrap(found, 400, trial), 0.95)
        covered += low[0] <= 3.0 <= high[0]
    # Four standard errors of a coverage of 0.95 in this number of trials are 0.062.
    assert 0.888 <= covered / trials <= 1
    if sizes == (10, 15, 4):
        assert covered / trials <= 0.995


def test_without_seeds_of_their_own_topics_are_as_good_as_one_mean_each(simulated: Records) -> None:
    """With one seed, one episode a topic and equal weights it is the ordinary bootstrap of a mean."""
    found = panel(simulated(np.random.default_rng(0), (1, 12, 1), tokens=(40, 40)))
    values = found.total[0, :, 0] / found.weight[0, :, 0]
    error = bootstrap(found, 20_000, 0).drawn.std()
    assert error == pytest.approx(values.std() / np.sqrt(12), rel=0.03)
