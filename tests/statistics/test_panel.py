"""The arrangement of records, and the estimate, which is a ratio of sums rather than a mean of means."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from metadialog.statistics.metrics import METRICS, reported, with_curve
from metadialog.statistics.panel import Panel, estimate, make_panel, residuals, unit_values

Records = Callable[..., pd.DataFrame]


def panel(records: pd.DataFrame, metric: str = "word_perplexity") -> Panel:
    units = sorted(set(zip(records["topic"], records["episode"], strict=True)))
    columns = sorted(set(zip(records["shots"], records["inner_step"], strict=True)))
    return make_panel(records, METRICS[metric], units, columns)


@pytest.fixture
def records(simulated: Records) -> pd.DataFrame:
    first = simulated(np.random.default_rng(0))
    later = first.assign(inner_step=1, loss=first["loss"] - 0.5)
    return pd.concat([first, later], ignore_index=True)


def test_perplexity_is_of_all_words_together(records: pd.DataFrame) -> None:
    before = records[records["inner_step"] == 0]
    whole = np.exp((before["loss"] * before["tokens"]).sum() / before["words"].sum())
    assert np.exp(estimate(panel(records))[0]) == pytest.approx(whole)
    mean_of_means = np.exp(before["loss"] * before["tokens"] / before["words"]).mean()
    assert whole != pytest.approx(mean_of_means, rel=0.01)


def test_loss_is_of_all_tokens_together(records: pd.DataFrame) -> None:
    means = [np.average(part["loss"], weights=part["tokens"]) for _, part in records.groupby("inner_step", sort=True)]
    assert estimate(panel(records, "loss")) == pytest.approx(means)


def test_the_order_of_records_does_not_matter(records: pd.DataFrame) -> None:
    shuffled = records.sample(frac=1, random_state=1)
    assert np.array_equal(panel(records).total, panel(shuffled).total)
    assert np.array_equal(panel(records).weight, panel(shuffled).weight)


def test_an_episode_split_in_two_counts_the_same(records: pd.DataFrame) -> None:
    halves = records.assign(tokens=records["tokens"] / 2, words=records["words"] / 2)
    doubled = pd.concat([halves, halves.assign(episode=halves["episode"] + 100)])
    assert estimate(panel(doubled)) == pytest.approx(estimate(panel(records)))


def test_what_was_not_reported_does_not_count(records: pd.DataFrame) -> None:
    scored = records.assign(bleu=np.where(records["inner_step"] == 1, 10.0 + records["seed"], np.nan))
    found = panel(scored, "bleu")
    assert np.isnan(estimate(found)[0])
    assert estimate(found)[1] == pytest.approx(11)


def test_a_loss_that_is_no_number_is_not_lost(records: pd.DataFrame) -> None:
    diverged = records.assign(loss=records["loss"].where(records.index != 3))
    assert np.isnan(estimate(panel(diverged))[0])
    assert np.isfinite(estimate(panel(diverged))[1])


def test_gain_is_the_logarithm_of_the_ratio_of_perplexities(records: pd.DataFrame) -> None:
    gain = estimate(panel(with_curve(records), "gain"))
    before, after = estimate(panel(records))
    assert gain == pytest.approx([0, before - after])


def test_the_area_is_the_mean_height_of_the_curve() -> None:
    curve = [5.0, 3.0, 4.0, 1.0]
    rows = [
        {
            "algorithm": "a",
            "seed": 0,
            "topic": topic,
            "episode": 0,
            "shots": 1,
            "inner_step": step,
            "loss": loss * scale,
        }
        for topic, scale in (("one", 1), ("two", 10))
        for step, loss in enumerate(curve)
    ]
    records = pd.DataFrame(rows).sample(frac=1, random_state=0)  # in any order
    found = with_curve(records).sort_values(["topic", "inner_step"])
    expected = [5.0, *(np.trapezoid(curve[: step + 1]) / step for step in (1, 2, 3))]
    assert found["area"].tolist() == pytest.approx([*expected, *(10 * value for value in expected)])
    assert found["gain"].tolist() == pytest.approx([0, 2, 1, 4, 0, 20, 10, 40])
    assert found.index.equals(records.loc[found.index].index)


def test_residuals_sum_to_nothing_and_units_to_the_whole(records: pd.DataFrame) -> None:
    found = panel(records)
    assert residuals(found).sum(axis=(0, 1)) == pytest.approx(0, abs=1e-12)
    weights = found.weight.sum(axis=0)
    assert (unit_values(found) * weights).sum(axis=0) / weights.sum(axis=0) == pytest.approx(estimate(found))


def test_parts_keep_what_they_are_of(records: pd.DataFrame) -> None:
    found = panel(records)
    assert found.of_seeds([2]).total.tolist() == found.total[2:].tolist()
    assert found.of_topic("t1").units == tuple(("t1", episode) for episode in range(4))
    assert found.of_columns([(1, 1)]).total.tolist() == found.total[:, :, 1:].tolist()
    assert estimate(found.of_columns([(1, 1)]))[0] == estimate(found)[1]


def test_only_what_records_hold_is_reported(records: pd.DataFrame) -> None:
    assert [metric.name for metric in reported(records, METRICS.values())] == ["word_perplexity", "loss"]
    assert [
        metric.name for metric in reported(records.assign(bleu=np.nan, chrf=1.0), [METRICS["chrf"], METRICS["bleu"]])
    ] == ["chrf"]
