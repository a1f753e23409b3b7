"""The numbers of a comparison, compared with direct sums, and the handling of missing values."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metadialog.errors import ConfigError
from metadialog.reports.comparison import Comparison, chosen_metrics, compare_runs
from metadialog.reports.runs import read_runs
from metadialog.statistics.comparison import CHOSEN
from metadialog.statistics.metric_comparison import SCORES, Settings

MakeRun = Callable[..., Path]


def compared(place: Path, test: str = "bootstrap") -> Comparison:
    runs, _ = read_runs([place], "refuse")
    return compare_runs(runs, Settings(300, 0.95, test, 0.05, 0))  # type: ignore[arg-type]


@pytest.fixture
def comparison(make_run: MakeRun, tmp_path: Path) -> Comparison:
    for algorithm in ("finetune", "maml", "zero_shot"):
        for seed in (0, 1):
            make_run(algorithm, seed)
    return compared(tmp_path)


def one(comparison: Comparison, algorithm: str, metric: str, shots: int, step: int) -> "pd.Series[float]":
    keys = ["algorithm", "metric", "shots", "inner_step"]
    return comparison.scores.set_index(keys).loc[(algorithm, metric, shots, step)]  # type: ignore[index]


def test_scores_are_sums_over_sums(comparison: Comparison) -> None:
    records = pd.concat(run.records for run in comparison.runs)
    part = records[(records["algorithm"] == "maml") & (records["shots"] == 5) & (records["inner_step"] == 4)]
    row = one(comparison, "maml", "word_perplexity", 5, 4)
    assert row["mean"] == pytest.approx(np.exp((part["loss"] * part["tokens"]).sum() / part["words"].sum()))
    assert one(comparison, "maml", "bleu", 5, 4)["mean"] == pytest.approx(part["bleu"].mean())
    assert row["low"] < row["mean"] < row["high"]
    assert (row["seeds"], row["topics"], row["episodes"]) == (2, 6, 18)
    assert tuple(comparison.scores.columns) == SCORES


def test_the_best_has_no_p_value_and_the_worse_a_small_one(comparison: Comparison) -> None:
    assert np.isnan(one(comparison, "maml", "word_perplexity", 5, 4)["p_value_vs_best"])
    assert one(comparison, "finetune", "word_perplexity", 5, 4)["p_value_vs_best"] < 0.05
    rows = comparison.differences[(comparison.differences["metric"] == "word_perplexity")]
    assert set(rows["best"]) == {"maml"}
    assert (rows["p_value_holm"] >= rows["p_value"]).all()
    assert (rows["difference"] > 0).all()
    assert (rows["effect_size"] > 0).all()


def test_p_values_are_corrected_by_holms_method_in_each_column(make_run: MakeRun, tmp_path: Path) -> None:
    for algorithm in ("finetune", "maml", "scratch", "zero_shot"):
        for seed in (0, 1):
            make_run(algorithm, seed)
    runs, _ = read_runs([tmp_path], "refuse")
    settings = Settings(300, 0.95, "permute_topics", 0.05, 0, baseline="finetune")
    comparison = compare_runs(runs, settings)
    for rows in (comparison.differences, comparison.baseline_differences):
        corrected = 0
        for _, family in rows.groupby(["metric", "shots", "inner_step"]):
            tested = family[family["p_value"].notna()].sort_values("p_value", kind="stable")
            largest = 0.0
            for place, (_, row) in enumerate(tested.iterrows()):
                largest = max(largest, min(1.0, (len(tested) - place) * row["p_value"]))
                assert row["p_value_holm"] == pytest.approx(largest)
                corrected += int(row["p_value_holm"] > row["p_value"])
        assert corrected


def test_what_does_not_adapt_is_the_same_at_every_step(comparison: Comparison) -> None:
    assert comparison.fixed == ["zero_shot"]
    values = [one(comparison, "zero_shot", "word_perplexity", 5, step)["mean"] for step in range(5)]
    assert len(set(values)) == 1
    # Replies are reported only at steps at which all algorithms have them.
    steps = comparison.scores[(comparison.scores["metric"] == "bleu")].groupby("algorithm")["inner_step"].unique()
    assert [sorted(found) for found in steps] == [[0, 4]] * 3
    assert one(comparison, "zero_shot", "gain", 5, 4)["mean"] == 0


def test_topics_are_compared_by_themselves(comparison: Comparison) -> None:
    topics = comparison.topics
    assert topics["topic"].nunique() == 6
    assert set(topics["metric"]) == {"word_perplexity", "gain"}
    assert set(topics["inner_step"]) == {4}
    assert set(topics["shots"]) == {5}
    assert comparison.last == (5, 4)


def test_the_same_runs_give_the_same_numbers(comparison: Comparison, tmp_path: Path) -> None:
    again = compared(tmp_path)
    pd.testing.assert_frame_equal(again.scores, comparison.scores)
    pd.testing.assert_frame_equal(again.differences, comparison.differences)


def test_too_few_seeds_are_warned_of(comparison: Comparison) -> None:
    assert [line.split(":")[0] for line in comparison.warnings] == ["2 seeds"]


def test_one_algorithm_alone_is_best_of_all(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("maml", 0)
    found = compared(tmp_path)
    assert found.differences.empty
    assert found.scores["p_value_vs_best"].isna().all()


def test_a_seed_that_one_lacks_is_left_out_of_its_pair(make_run: MakeRun, tmp_path: Path) -> None:
    for algorithm, seeds in {"maml": (0, 1, 2), "finetune": (1, 2, 3), "scratch": (4,)}.items():
        for seed in seeds:
            make_run(algorithm, seed)
    found = compared(tmp_path)
    assert one(found, "maml", "loss", 5, 4)["seeds"] == 3
    assert one(found, "finetune", "loss", 5, 4)["p_value_vs_best"] < 0.05
    assert np.isnan(one(found, "scratch", "loss", 5, 4)["p_value_vs_best"])


def test_a_run_that_diverged_is_neither_best_nor_lost(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("maml", 0)
    path = make_run("finetune", 0) / "adaptation.parquet"
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    records = table.to_pandas()
    records.loc[records["inner_step"] == 4, "loss"] = np.nan
    pq.write_table(
        pa.Table.from_pandas(records, preserve_index=False).replace_schema_metadata(table.schema.metadata), path
    )
    found = compared(tmp_path)
    row = one(found, "finetune", "word_perplexity", 5, 4)
    assert np.isnan(row["mean"])
    assert np.isnan(row["low"])
    assert np.isfinite(one(found, "finetune", "word_perplexity", 5, 3)["mean"])


def test_other_shots_are_compared_where_both_have_them(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("maml", 0)
    make_run("finetune", 0, shots=(5, 10))
    found = compared(tmp_path)
    assert sorted(found.scores[found.scores["algorithm"] == "maml"]["shots"].unique()) == [1, 5]
    assert one(found, "finetune", "loss", 5, 4)["p_value_vs_best"] < 1
    assert np.isnan(one(found, "finetune", "loss", 10, 4)["p_value_vs_best"])


@pytest.mark.parametrize("test", ["permute_topics", "permute_episodes"])
def test_other_tests_may_be_chosen(make_run: MakeRun, tmp_path: Path, test: str) -> None:
    for algorithm in ("maml", "finetune"):
        make_run(algorithm, 0)
    found = one(compared(tmp_path, test), "finetune", "loss", 5, 4)["p_value_vs_best"]
    assert found == pytest.approx(2 / 2**6) if test == "permute_topics" else found < 0.01


def test_metrics_that_are_not_there_are_named(comparison: Comparison) -> None:
    assert [metric.name for metric in chosen_metrics(comparison, ["bleu", "gain", "bleu"])] == ["bleu", "gain"]
    with pytest.raises(
        ConfigError, match="the records hold no entropy; they hold word_perplexity, loss, gain, area, token_accuracy"
    ):
        chosen_metrics(comparison, ["bleu", "entropy"])


def test_each_algorithm_stands_at_the_step_that_was_chosen_for_it(make_run: MakeRun, tmp_path: Path) -> None:
    for algorithm in ("finetune", "maml", "zero_shot"):
        for seed in (0, 1):
            make_run(algorithm, seed, chosen=True)
    found = compared(tmp_path)
    records = pd.concat(run.records for run in found.runs)
    # Seed 0 chose 2 steps, seed 1 chose 3.
    part = records[(records["algorithm"] == "maml") & (records["shots"] == 5)]
    part = part[part["inner_step"] == np.where(part["seed"] == 0, 2, 3)]
    row = one(found, "maml", "word_perplexity", 5, CHOSEN)
    assert row["mean"] == pytest.approx(np.exp((part["loss"] * part["tokens"]).sum() / part["words"].sum()))
    assert one(found, "maml", "bleu", 5, CHOSEN)["mean"] == pytest.approx(part["bleu"].mean())
    assert one(found, "zero_shot", "gain", 5, CHOSEN)["mean"] == 0
    assert found.last == (5, CHOSEN)
    assert set(found.topics["inner_step"]) == {CHOSEN}
    maml = found.chosen[(found.chosen["algorithm"] == "maml") & (found.chosen["shots"] == 5)]
    assert dict(zip(maml["seed"], maml["inner_step"], strict=True)) == {0: 2, 1: 3}


def test_what_some_seeds_alone_reported_is_no_score(make_run: MakeRun, tmp_path: Path) -> None:
    """Replies are also generated after the chosen step, which each seed chooses independently."""
    for algorithm, seeds in {"finetune": (0, 1), "maml": (1, 2), "zero_shot": (0, 1)}.items():
        for seed in seeds:
            make_run(algorithm, seed, chosen=True)
    found = compared(tmp_path)
    bleu = found.scores[(found.scores["metric"] == "bleu") & (found.scores["shots"] == 5)]
    steps = {name: set(part["inner_step"]) for name, part in bleu.groupby("algorithm")}
    # Fine-tuning's seed 0 chose 2 steps and its seed 1 chose 3, as both of MAML's did.
    assert steps == {"finetune": {CHOSEN, 0, 4}, "maml": {CHOSEN, 0, 3, 4}, "zero_shot": {CHOSEN, 0, 3, 4}}
    assert set(found.scores["seeds"]) == {2}
    differences = found.differences
    assert differences["difference"].notna().all()
    pairs = differences[(differences["metric"] == "bleu") & (differences["inner_step"] == 3)]
    assert set(pairs["best"]) | set(pairs["algorithm"]) == {"maml", "zero_shot"}


def test_what_cannot_be_tested_is_told(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("maml", 0)
    make_run("finetune", 1)
    found = compared(tmp_path)
    assert found.scores["p_value_vs_best"].isna().all()
    assert "share no seed, or a single episode: finetune, maml" in found.warnings[-1]


def test_where_one_run_chose_no_step_there_is_none(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("maml", 0, chosen=True)
    make_run("finetune", 0)
    found = compared(tmp_path)
    assert CHOSEN not in set(found.scores["inner_step"])
    assert found.chosen.empty


def test_every_row_minus_the_baseline(comparison: Comparison) -> None:
    assert comparison.baseline_differences.empty
    found = compare_runs(comparison.runs, replace(comparison.settings, baseline="finetune")).baseline_differences
    row = found.set_index(["metric", "algorithm", "shots", "inner_step"]).loc[("word_perplexity", "maml", 5, 4)]  # type: ignore[index]
    scores = [np.log(one(comparison, name, "word_perplexity", 5, 4)["mean"]) for name in ("maml", "finetune")]
    assert row["difference"] == pytest.approx(scores[0] - scores[1])
    assert row["low"] < row["difference"] < row["high"] < 0
    assert row["p_value"] <= row["p_value_holm"] < 0.05
    assert row["effect_size"] < 0
    assert set(found["baseline"]) == {"finetune"}
    assert set(found["algorithm"]) == {"maml", "zero_shot"}
    # The best algorithm of a column is not the baseline: both tables agree about the two.
    against = comparison.differences.set_index(["metric", "algorithm", "shots", "inner_step"])
    assert against.loc[("word_perplexity", "finetune", 5, 4), "difference"] == pytest.approx(-row["difference"])


def test_a_baseline_that_is_no_row(comparison: Comparison) -> None:
    with pytest.raises(ConfigError, match=r"^baseline=mmal: no such row; the rows are finetune, maml, zero_shot$"):
        compare_runs(comparison.runs, replace(comparison.settings, baseline="mmal"))


def test_bits_per_character_where_the_runs_hold_characters(comparison: Comparison) -> None:
    assert "bits_per_character" not in set(comparison.scores["metric"])
    runs = [replace(run, records=run.records.assign(characters=run.records["words"] * 4)) for run in comparison.runs]
    found = one(compare_runs(runs, comparison.settings), "maml", "bits_per_character", 5, 4)["mean"]
    perplexity = one(comparison, "maml", "word_perplexity", 5, 4)["mean"]
    assert found == pytest.approx(np.log2(perplexity) / 4)


def test_records_without_characters_are_left_out_of_bits(comparison: Comparison) -> None:
    runs = [
        replace(run, records=run.records.assign(characters=run.records["words"] if run.algorithm == "maml" else None))
        for run in comparison.runs
    ]
    scores = compare_runs(runs, comparison.settings).scores
    assert set(scores[scores["metric"] == "bits_per_character"]["algorithm"]) == {"maml"}
