"""Evaluating a finished run again, on the same and on other options and data."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf

import metadialog as md
from metadialog.runs.records import EPISODES_KEY

Run = Callable[..., Any]


def contents(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run whose options are not the defaults; not to be changed."""
    options = ["debug=smoke", "logger=local", "sampler.shots=3", "split.seed=2", "model=lstm", "seed=4"]
    return md.compose("train", options).run(tmp_path_factory.mktemp("trained")).path


@pytest.fixture
def trained(run: Run, trained_once: Path) -> Path:  # noqa: ARG001 - it makes the working directory
    """A copy of the run, in the working directory."""
    return Path(shutil.copytree(trained_once, Path.cwd() / "trained"))


def test_the_same_options_give_the_same_records(run: Run, trained: Path) -> None:
    before = contents(trained)
    outcome = run("evaluate", f"run={trained}")
    assert outcome.code == 0, outcome.err
    assert not outcome.run_directory.is_relative_to(trained)
    expected, found = (pd.read_parquet(path / "adaptation.parquet") for path in (trained, outcome.run_directory))
    pd.testing.assert_frame_equal(expected, found, check_exact=True)
    assert (trained / "samples.jsonl").read_text() == (outcome.run_directory / "samples.jsonl").read_text()
    assert contents(trained) == before
    costs = [json.loads((path / "cost.json").read_text()) for path in (trained, outcome.run_directory)]
    assert costs[1]["meta_train"] == costs[0]["meta_train"] is not None
    status = json.loads((outcome.run_directory / "status.json").read_text())
    assert status["status"] == "finished"


def test_other_options_have_the_last_word(run: Run, trained: Path) -> None:
    outcome = run("evaluate", f"run={trained}", "evaluation.shots=[1,3]", "evaluation.episodes_per_topic=2")
    assert outcome.code == 0, outcome.err
    expected, found = (pd.read_parquet(path / "adaptation.parquet") for path in (trained, outcome.run_directory))
    assert set(found["shots"]) == {1, 3}
    # The episodes that both have are the same ones.
    same = found[(found["shots"] == 3) & (found["episode"] == 0)].reset_index(drop=True)
    pd.testing.assert_frame_equal(expected, same, check_exact=True)


def test_rates_and_steps_are_chosen_on_the_meta_validation_topics_alone(run: Run, trained: Path) -> None:
    """Other meta-test topics leave the choice as it is, other meta-validation topics change what it is made from."""

    def selection(validation: str, test: str) -> str:
        parts = ["split=explicit", "split.train=[ai]", f"split.validation=[{validation}]", f"split.test=[{test}]"]
        grid = ["evaluation.rates=[0.5,2]", "evaluation.selection_episodes=1", "evaluation.queries=2"]
        outcome = run("evaluate", f"run={trained}", *parts, *grid, "generation.max_tokens=2")
        assert outcome.code == 0, outcome.err
        assert set(pd.read_parquet(outcome.run_directory / "adaptation.parquet")["topic"]) == {test}
        assert "choosing rates 1/1" in outcome.out  # takes as long as the evaluation, and shows it
        return Path(outcome.run_directory, "selection.json").read_text()

    first = selection("food", "humor")
    assert selection("food", "trivia") == first
    assert selection("trivia", "humor") != first


def test_other_data(run: Run, trained: Path) -> None:
    with Path("my.jsonl").open("w") as file:
        for topic in ("bread", "tea", "salt", "rice"):
            for number in range(8):
                turns = [f"Do you have {topic} number {number}?", f"Yes, {topic} is here.", "Thank you."]
                file.write(json.dumps({"topic": topic, "turns": turns}) + "\n")
    data = ("dataset=jsonl", "dataset.path=my.jsonl", "split.min_dialogues=8")
    outcome = run("evaluate", f"run={trained}", *data)
    assert outcome.code == 0, outcome.err
    records = pd.read_parquet(outcome.run_directory / "adaptation.parquet")
    assert set(records["dataset"]) == {"my"}
    assert set(records["topic"]) < {"bread", "tea", "salt", "rice"}


def test_all_topics_of_other_data(run: Run, trained: Path) -> None:
    data = ("dataset=chatterbot", "dataset.language=chinese", "split=all_held_out", "split.min_dialogues=9")
    outcome = run("evaluate", f"run={trained}", *data)
    assert outcome.code == 0, outcome.err
    assert "0 meta-train, 0 meta-validation, " in outcome.out
    assert "Word perplexity (per character)" in " ".join(outcome.out.split())
    records = pd.read_parquet(outcome.run_directory / "adaptation.parquet")
    described = run("data", *data)
    assert described.code == 0, described.err
    assert f"meta-test ({records['topic'].nunique()} topics)" in described.out
    assert "meta-train" not in described.out


@pytest.mark.parametrize("algorithm", ["zero_shot", "fomaml"])
def test_an_algorithm_that_the_run_was_not_trained_by_is_refused(run: Run, trained: Path, algorithm: str) -> None:
    refused = run("evaluate", f"run={trained}", f"algorithm={algorithm}", "hydra.run.dir=again")
    assert refused.code == 2
    assert refused.err.startswith(
        f"metadialog evaluate: algorithm={algorithm}: the run was trained with algorithm=maml, and its results would"
    )
    assert refused.err.count("\n") == 1
    assert not Path("again").exists()


def test_other_options_of_the_same_algorithm(run: Run, trained: Path) -> None:
    outcome = run("evaluate", f"run={trained}", "algorithm=maml", "algorithm.inner_lr=0.01")
    assert outcome.code == 0, outcome.err
    expected, found = (pd.read_parquet(path / "adaptation.parquet") for path in (trained, outcome.run_directory))
    before = expected["inner_step"] == 0
    assert expected[before]["loss"].tolist() == found[before]["loss"].tolist()
    assert not set(expected[~before]["loss"]) & set(found[~before]["loss"])


def test_options_that_what_was_learned_does_not_fit_are_named(run: Run) -> None:
    options = ("debug=smoke", "logger=local", "model.hidden_size=12", "training.steps=1", "hydra.run.dir=mine")
    assert run("train", *options, "algorithm=alfa").code == 0
    outcome = run("evaluate", "run=mine", "algorithm.inner_steps=5")
    assert outcome.code != 0
    assert (
        "do not fit the options of algorithm=alfa and of inner; options that determine what is learned" in outcome.err
    )
    assert outcome.err.count("\n") == 1
    again = run("evaluate", "run=mine")
    assert again.code == 0, again.err
    ours, found = (pd.read_parquet(path / "adaptation.parquet") for path in (Path("mine"), again.run_directory))
    pd.testing.assert_frame_equal(ours, found, check_exact=True)


def test_a_damaged_config_costs_one_line(run: Run, trained: Path) -> None:
    config = trained / "config.yaml"
    text = config.read_text()
    cuts = {"dataset.language": text.replace("  language: english\n", ""), "dataset": text[text.index("\nsplit:") :]}
    for missing, cut in cuts.items():
        assert cut != text
        config.write_text(cut)
        refused = run("evaluate", f"run={trained}")
        assert refused.code == 2
        assert refused.err.startswith(f"metadialog evaluate: {config}: damaged")
        assert missing in refused.err.split(": damaged")[1]
        assert refused.err.count("\n") == 1


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("model._target_", "foo.bar", "not a class of metadialog.models; nothing of it has been imported"),
        ("dtype", "foo", "dtype is 'foo'; it should be 'float32' or 'float64'"),
    ],
)
def test_a_damaged_config_of_the_model_costs_one_line(
    run: Run, trained: Path, key: str, value: str, reason: str
) -> None:
    path = trained / "model" / "config.json"
    config = OmegaConf.load(path)
    OmegaConf.update(config, key, value)
    path.write_text(json.dumps(OmegaConf.to_container(config)), encoding="utf-8")
    refused = run("evaluate", f"run={trained}")
    assert refused.code == 2
    assert refused.err.startswith(f"metadialog evaluate: {path}: ")
    assert reason in refused.err
    assert refused.err.count("\n") == 1


def test_references_are_scored_whole_or_it_is_said(run: Run, trained: Path) -> None:
    whole = run("evaluate", f"run={trained}")
    assert "references cut" not in whole.out
    cut = run("evaluate", f"run={trained}", "evaluation.max_tokens=20")
    assert cut.code == 0, cut.err
    assert re.search(r"^references truncated to evaluation.max_tokens=20: \d+ of \d+$", cut.out, re.MULTILINE)
    words = [pd.read_parquet(o.run_directory / "adaptation.parquet")["words"].sum() for o in (whole, cut)]
    assert words[0] > words[1]
    # Support sets are as they were: the same adaptation, whatever of the reference is scored.
    shorter = run("evaluate", f"run={trained}", "sampler.max_tokens=20")
    assert pd.read_parquet(shorter.run_directory / "adaptation.parquet")["words"].sum() == words[0]


def test_a_run_that_has_not_finished_is_refused(run: Run, trained: Path) -> None:
    status = json.loads((trained / "status.json").read_text())
    (trained / "status.json").write_text(json.dumps({**status, "status": "running"}))
    refused = run("evaluate", f"run={trained}", "hydra.run.dir=again")
    assert refused.code == 2
    assert refused.err == (
        f"metadialog evaluate: {trained}: the run is running, not finished; go on with it by resume={trained}\n"
    )
    assert not Path("again").exists()


def test_damaged_weights_cost_one_line(run: Run, trained: Path) -> None:
    weights = trained / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    refused = run("evaluate", f"run={trained}")
    assert refused.code == 2
    assert refused.err.startswith(f"metadialog evaluate: {weights}: has been changed since it was written")
    assert refused.err.count("\n") == 1


def test_sweeps(run: Run, trained: Path) -> None:
    outcome = run("evaluate", "-m", f"run={trained}", "evaluation.seed=0,1", "hydra.sweep.dir=sweep")
    assert outcome.code == 0, outcome.err
    frames = [pd.read_parquet(f"sweep/{number}/adaptation.parquet") for number in (0, 1)]
    assert not frames[0].equals(frames[1])


def test_leaving_one_dialogue_out(run: Run, trained: Path) -> None:
    one_out = ("evaluation.leave_one_out=true", "evaluation.queries=1", "evaluation.report_steps=[0]")
    outcome = run("evaluate", f"run={trained}", *one_out)
    assert outcome.code == 0, outcome.err
    records = pd.read_parquet(outcome.run_directory / "adaptation.parquet")
    assert records.groupby("topic")["episode"].nunique().min() >= 10
    drawn = json.loads(pq.read_metadata(outcome.run_directory / "adaptation.parquet").metadata[EPISODES_KEY])
    queries = [query for episode in drawn for query in episode["query"]]
    assert len(queries) == len(set(queries)) == len(drawn)
