"""`metadialog train`, from dialogues to a run directory, on the embedded data with a tiny model."""

import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from metadialog.experiment.config import LearningConfig
from metadialog.experiment.learner import make_learner
from metadialog.runs.config_file import read_config
from metadialog.runs.records import EPISODES_KEY
from metadialog.training.export import load_exported, load_tokenizer

Run = Callable[..., Any]
BeforeStep = Callable[[Callable[[int], None]], AbstractContextManager[None]]
SMOKE = ("debug=smoke", "logger=local")
DIVERGING = ("algorithm.inner_lr=1e6", "algorithm.inner_steps=5", "inner.weight_decay=1e3")


def files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def metrics(directory: Path) -> list[tuple[int, str, str, float]]:
    """Return everything except times and durations."""
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [(m["step"], m["split"], m["name"], m["value"]) for m in lines if m["name"] != "tasks_per_second"]


def test_the_run_directory_is_the_contract(run: Run) -> None:
    outcome = run("train", *SMOKE)
    assert outcome.code == 0, outcome.err
    directory = outcome.run_directory
    assert files(directory) == {
        ".hydra/config.yaml",
        ".hydra/hydra.yaml",
        ".hydra/overrides.yaml",
        "config.yaml",
        "status.json",
        "cost.json",
        "metrics.jsonl",
        "adaptation.parquet",
        "samples.jsonl",
        "checkpoints/last",
        "checkpoints/best",
        "model/model.safetensors",
        "model/tokenizer.json",
        "model/config.json",
        "model/README.md",
        "model/checksums.json",
    }
    assert "${" not in (directory / "config.yaml").read_text()
    status = json.loads((directory / "status.json").read_text())
    assert status["status"] == "finished"
    assert status["seeds"] == {"seed": 0, "split": 0, "evaluation": 0}
    assert status["versions"]["torch"] == torch.__version__.split("+")[0]
    assert {name for _, split, name, _ in metrics(directory) if split == "meta_train"} == {
        "meta_loss",
        "support_loss",
        "query_loss",
        "gradient_norm",
        "lr",
    }


def test_the_records_hold_every_inner_step_of_every_episode(run: Run) -> None:
    directory = run("train", *SMOKE, "evaluation.shots=[0,2,5]").run_directory
    records = pd.read_parquet(directory / "adaptation.parquet")
    assert list(records.columns) == [
        "algorithm",
        "engine",
        "dataset",
        "seed",
        "split",
        "topic",
        "episode",
        "shots",
        "inner_step",
        "loss",
        "tokens",
        "words",
        "word_perplexity",
        "token_accuracy",
        "rate",
        "selected",
        "bleu",
        "rouge_l",
        "chrf",
        "distinct_1",
        "distinct_2",
        "entropy",
        "length_ratio",
        "repetition",
        "characters",
    ]
    assert set(records["topic"]) == {"computers", "emotion", "gossip", "movies", "science"}
    steps = records.groupby("shots")["inner_step"].agg(set).to_dict()
    assert steps == {0: {0}, 2: {0, 1}, 5: {0, 1}}
    perplexity = np.exp(records["loss"] * records["tokens"] / records["words"])
    assert records["word_perplexity"].tolist() == pytest.approx(perplexity.tolist())
    # Before adaptation the number of shots makes no difference, as the query sets are the same.
    before = records[records["inner_step"] == 0].groupby("topic")["loss"].nunique()
    assert set(before) == {1}
    drawn = json.loads(pq.read_metadata(directory / "adaptation.parquet").metadata[EPISODES_KEY])
    assert len(drawn) == 15
    assert all(set(episode["support"]).isdisjoint(episode["query"]) for episode in drawn)


def test_samples_show_replies_before_and_after(run: Run) -> None:
    directory = run("train", *SMOKE).run_directory
    samples = [json.loads(line) for line in (directory / "samples.jsonl").read_text().splitlines()]
    assert {sample["topic"] for sample in samples} == {"computers", "emotion", "gossip", "movies", "science"}
    assert all(sample["reference"] and sample["context"] for sample in samples)
    assert {sample["inner_step"] for sample in samples} == {1}


def test_the_exported_model_is_the_best_checkpoint(run: Run) -> None:
    directory = run("train", *SMOKE).run_directory
    tokenizer = load_tokenizer(directory / "model")
    algorithm = make_learner(LearningConfig.of(read_config(directory / "config.yaml")), tokenizer).algorithm
    model = load_exported(directory / "model", algorithm, tokenizer, torch.device("cpu"))
    best = torch.load(directory / "checkpoints" / "best", weights_only=True)["model"]
    for name, value in model.state_dict().items():
        assert torch.equal(value, best[name])
    assert tokenizer.decode(tokenizer.encode("What is AI?")) == "What is AI?"


def test_two_runs_are_the_same_to_the_last_bit(run: Run) -> None:
    first, second = (run("train", *SMOKE, "model.dropout=0.3").run_directory for _ in range(2))
    assert metrics(first) == metrics(second)
    assert metrics(run("train", *SMOKE, "model.dropout=0.3", "seed=1").run_directory) != metrics(first)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_resume_gives_the_same_numbers_to_the_last_bit(run: Run, before_step: BeforeStep, optimizer: str) -> None:
    outer = (f"optimizer={optimizer}", "schedule=cosine", "training.steps=4", "training.validate_every=2")
    tasks = ("sampler.shots=2", "sampler.queries=2", "training.meta_batch=2", "evaluation.queries=2")
    options = (*SMOKE, *outer, *tasks, "model=lstm", "model.dropout=0.2")
    whole = run("train", *options).run_directory
    broken = Path("broken").absolute()
    interrupt(run, before_step, broken, options, after=3)
    with (broken / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "spl')  # as if it had been killed while writing
    resumed = run("train", f"resume={broken}")
    assert resumed.code == 0, resumed.err
    assert resumed.run_directory.samefile(broken)
    assert metrics(broken) == metrics(whole)
    expected, found = (pd.read_parquet(directory / "adaptation.parquet") for directory in (whole, broken))
    pd.testing.assert_frame_equal(expected, found, check_exact=True)
    for name in ("samples.jsonl", "model/model.safetensors"):
        assert (whole / name).read_bytes() == (broken / name).read_bytes()


@pytest.mark.cuda
@pytest.mark.parametrize("model", ["gru", "seq2seq", "hred"])
def test_a_gpu_trains_resumes_and_evaluates_as_a_cpu_does(run: Run, before_step: BeforeStep, model: str) -> None:
    options = (*SMOKE, f"model={model}", "model.dropout=0", "dtype=float64", "training.steps=4")
    expected = metrics(run("train", *options, "device=cpu").run_directory)
    on_gpu = (*options, "device=cuda")
    whole = run("train", *on_gpu).run_directory
    broken = Path("broken").absolute()
    interrupt(run, before_step, broken, on_gpu, after=3)
    assert run("train", f"resume={broken}").code == 0
    again = run("evaluate", f"run={whole}", "device=cuda")
    assert again.code == 0, again.err
    for directory in (whole, broken):
        for found, there in zip(metrics(directory), expected, strict=True):
            assert found[:3] == there[:3]
            assert found[3] == pytest.approx(there[3], rel=1e-6), found
    assert json.loads((whole / "cost.json").read_text())["meta_train"]["peak_bytes"] > 0


def interrupt(run: Run, before_step: BeforeStep, directory: Path, options: tuple[str, ...], after: int) -> None:
    """Start a run, and interrupt it after some outer steps."""

    def stop(step: int) -> None:
        if step == after + 1:
            raise KeyboardInterrupt

    with before_step(stop):
        outcome = run("train", *options, f"hydra.run.dir={directory}")
    assert outcome.code == 130
    assert outcome.err.endswith("metadialog train: interrupted\n")
    status = json.loads((directory / "status.json").read_text())
    assert (status["status"], status["reason"]) == ("failed", "KeyboardInterrupt")
    # The checkpoint is of the interrupted step, not of the last validation.
    assert torch.load(directory / "checkpoints" / "last", weights_only=True)["standing"]["step"] == after


def test_a_run_that_broke_off_at_once_begins_anew(run: Run) -> None:
    """A run that was killed before its config, or before its first checkpoint, was written."""
    options = (*SMOKE, "sampler.shots=3", "model.dropout=0.2")
    whole = run("train", *options).run_directory
    for kept in ({".hydra"}, {".hydra", "config.yaml", "status.json", "metrics.jsonl"}):
        broken = Path(f"broken-{len(kept)}").absolute()
        shutil.copytree(whole, broken, ignore=lambda folder, names: set(names) - kept if folder == str(whole) else [])  # noqa: B023
        resumed = run("train", f"resume={broken}")
        assert resumed.code == 0, resumed.err
        assert "the run was interrupted before its first checkpoint, and starts from the beginning" in resumed.out
        assert metrics(broken) == metrics(whole)
        assert files(broken) == files(whole)


def test_a_run_that_broke_off_before_its_config_was_composed_is_started_anew(run: Run) -> None:
    whole = run("train", *SMOKE).run_directory
    for path in [*whole.iterdir(), whole / ".hydra" / "overrides.yaml"]:
        if path.name != ".hydra":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    refused = run("train", f"resume={whole}")
    assert refused.code == 2
    assert "start it again" in refused.err
    assert refused.err.count("\n") == 1
    assert run("train", *SMOKE, f"hydra.run.dir={whole}").code == 0


def test_a_run_resumes_with_its_own_config_or_not_at_all(run: Run) -> None:
    directory = run("train", *SMOKE, "sampler.shots=3").run_directory
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    refused = run("train", f"resume={directory}", "sampler.shots=4")
    assert refused.code == 2
    assert "sampler.shots is 4 but was 3" in refused.err
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before
    longer = run("train", f"resume={directory}", "training.steps=3")
    assert longer.code == 0, longer.err
    assert max(step for step, *_ in metrics(directory)) == 3


def test_a_directory_that_holds_a_run_is_not_overwritten(run: Run) -> None:
    directory = run("train", *SMOKE).run_directory
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    refused = run("train", *SMOKE, f"hydra.run.dir={directory}")
    assert refused.code == 2
    assert f"{directory}: holds a run already" in refused.err
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("algorithm", ["fomaml", "finetune", "scratch", "zero_shot"])
def test_every_algorithm_runs(run: Run, algorithm: str) -> None:
    outcome = run("train", *SMOKE, f"algorithm={algorithm}")
    assert outcome.code == 0, outcome.err
    records = pd.read_parquet(outcome.run_directory / "adaptation.parquet")
    assert set(records["algorithm"]) == {algorithm}
    assert set(records["inner_step"]) == ({0} if algorithm == "zero_shot" else {0, 1})


def test_held_out_episodes_are_the_same_for_every_algorithm_and_seed(run: Run) -> None:
    runs = [
        run("train", *SMOKE, "algorithm=maml", "seed=0"),
        run("train", *SMOKE, "algorithm=finetune", "seed=5"),
    ]
    drawn = [pq.read_metadata(outcome.run_directory / "adaptation.parquet").metadata[EPISODES_KEY] for outcome in runs]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("tokenizer", ["word", "character"])
def test_chinese_runs(run: Run, tokenizer: str) -> None:
    outcome = run(
        "train",
        *SMOKE,
        "dataset.language=chinese",
        f"tokenizer={tokenizer}",
        "tokenizer.vocab_size=600",
        "sampler=taskset",
    )
    assert outcome.code == 0, outcome.err


def test_own_dialogues(run: Run) -> None:
    with Path("my.jsonl").open("w") as file:
        for topic in range(3):
            for number in range(6):
                turns = [f"Question {number} about {topic}?", f"Answer {number}.", "Thanks."]
                file.write(json.dumps({"topic": f"topic {topic}", "turns": turns}) + "\n")
    outcome = run(
        "train",
        *SMOKE,
        "model=lstm",
        "algorithm=fomaml",
        "sampler.shots=3",
        "sampler.queries=3",
        "evaluation.queries=3",
        "dataset=jsonl",
        "dataset.path=my.jsonl",
        "split.min_dialogues=6",
        "seed=1",
    )
    assert outcome.code == 0, outcome.err


def test_divergence_is_said_and_recorded(run: Run) -> None:
    outcome = run("train", *SMOKE, *DIVERGING, "training.steps=5", "hydra.run.dir=diverged")
    assert outcome.code == 2
    assert "training diverged at step" in outcome.err
    assert outcome.err.count("\n") == 1
    status = json.loads(Path("diverged/status.json").read_text())
    assert status["status"] == "failed"
    assert "training diverged" in status["reason"]


def test_a_sweep_makes_a_run_directory_each(run: Run) -> None:
    outcome = run("train", "-m", *SMOKE, "algorithm=maml,fomaml", "seed=0,1")
    assert outcome.code == 0, outcome.err
    runs = sorted(path.parent for path in Path("multirun/train").glob("*/*/*/status.json"))
    assert len(runs) == 4
    assert {json.loads((path / "status.json").read_text())["status"] for path in runs} == {"finished"}


def test_patience_ends_training_early_with_the_best_model(run: Run) -> None:
    patience = (
        "training.steps=40",
        "training.patience=2",
        "optimizer=sgd",
        "optimizer.lr=30",
        "training.clip_norm=null",
    )
    outcome = run("train", *SMOKE, *patience)
    assert outcome.code == 0, outcome.err
    after = {step: value for step, _, name, value in metrics(outcome.run_directory) if name == "loss_after"}
    best = min(after, key=lambda step: after[step])
    assert max(after) == best + 2 < 40
    assert f"trained {best + 2} steps (of 40: stopped early without a better validation loss)" in outcome.out
    weights = [torch.load(outcome.run_directory / "checkpoints" / name, weights_only=True) for name in ("best", "last")]
    assert [state["standing"]["step"] for state in weights] == [best, best + 2]
