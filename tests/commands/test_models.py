"""Every model is trained, resumed and evaluated from the command line, with algorithms of every kind."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

Run = Callable[..., Any]
TINY = (
    "debug=smoke", "logger=local", "model.hidden_size=12", "model.embedding_size=10", "evaluation.queries=1",
    "generation.max_tokens=3", "sampler.max_tokens=12", "sampler.shots=2", "sampler.queries=2", "training.meta_batch=2",
)  # fmt: skip
MODELS = (("model=seq2seq",), ("model=seq2seq", "model.attention=bahdanau"), ("model=hred", "model.cell=lstm"))


def losses(directory: Path) -> list[float]:
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [line["value"] for line in lines if line["name"] != "tasks_per_second"]


def engines(directory: Path) -> dict[str, str]:
    """Return the choice of engine=auto in the run's cost and in its checkpoint."""
    chosen: dict[str, str] = json.loads((directory / "cost.json").read_text())["meta_train"]["engines"]
    assert torch.load(directory / "checkpoints" / "last", weights_only=True)["cost"]["engines"] == chosen
    assert set(chosen) == {"3 inner steps"}
    assert set(chosen.values()) <= {"functional", "learn2learn"}
    return chosen


@pytest.mark.parametrize("model", MODELS, ids=" ".join)
def test_a_run_is_trained_resumed_and_evaluated(run: Run, cache: Path, model: tuple[str, ...]) -> None:
    whole = run("train", *TINY, *model, "generation=beam", "generation.beams=2", "hydra.run.dir=whole")
    assert whole.code == 0, whole.err
    assert "it supports the model" in whole.out + whole.err
    assert run("train", *TINY, *model, "generation=beam", "training.steps=1", "hydra.run.dir=part").code == 0
    chosen = engines(Path("part"))
    assert chosen == engines(Path("whole"))
    for choice in cache.glob("engines/*"):  # the choice then comes from the run
        shutil.rmtree(choice)
    assert run("train", "resume=part", "training.steps=2", "generation.beams=2").code == 0
    assert not list(cache.glob("engines/*"))
    assert engines(Path("part")) == chosen
    assert losses(Path("part"))[-2:] == losses(Path("whole"))[-2:]
    assert run("evaluate", "run=whole", "generation=sampling", "generation.max_tokens=3").code == 0


@pytest.mark.parametrize(
    "algorithm", ["anil", "cavia", "low_rank", "meta_sgd", "reptile", "finetune_head", "retrieval"]
)
def test_every_kind_of_algorithm_takes_it(run: Run, algorithm: str) -> None:
    outcome = run("train", *TINY, "model=hred", f"algorithm={algorithm}", "training.steps=1")
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize("engine", ["vectorized", "lean"])
def test_engines_that_do_not_know_it_say_so_before_anything_starts(run: Run, engine: str) -> None:
    outcome = run("train", "model=seq2seq", f"engine={engine}", "logger=local")
    assert outcome.code == 2
    assert outcome.out == ""
    assert "not the model Seq2Seq; engine=functional, engine=learn2learn and" in outcome.err
    assert not Path("outputs").exists()


@pytest.mark.parametrize(
    "algorithm", ["maml", "cavia", "low_rank", "meta_curvature", "meta_sgd", "reptile", "finetune"]
)
def test_what_is_frozen_stays_as_it_is_in_both_loops(run: Run, algorithm: str) -> None:
    options = (*TINY, "model=gru", f"algorithm={algorithm}", "evaluation.report_steps=[0]")
    frozen = run("train", *options, "training.frozen=[embeddings]", "training.steps=2", "hydra.run.dir=frozen")
    assert frozen.code == 0, frozen.err
    start = run("train", *options, "training.steps=0", "hydra.run.dir=start")
    assert start.code == 0, start.err
    before, after = (load_file(Path(name, "model", "model.safetensors")) for name in ("start", "frozen"))
    assert before.keys() == after.keys()
    same = {name: torch.equal(before[name], after[name]) for name in after}
    assert [name for name in same if name.endswith("embed.weight")]
    assert all(same[name] for name in same if name.endswith("embed.weight"))
    assert not all(same[name] for name in same if "rnn" in name)


def test_an_evaluation_freezes_what_the_run_froze(run: Run) -> None:
    options = (*TINY, "model=gru", "training.steps=1", "hydra.run.dir=mine")
    assert run("train", *options, "training.frozen=[body,embeddings]").code == 0
    outcome = run("evaluate", "run=mine")
    assert outcome.code == 0, outcome.err
    ours, again = (pd.read_parquet(path / "adaptation.parquet") for path in (Path("mine"), outcome.run_directory))
    assert again["loss"].tolist() == ours["loss"].tolist()


@pytest.mark.parametrize(
    ("value", "line"),
    [("[nope]", "training.frozen: 'nope' is not a part of the model"), ("['*']", "leaves nothing to train")],
)
def test_what_cannot_be_frozen_is_named(run: Run, value: str, line: str) -> None:
    outcome = run("train", *TINY, "model=gru", f"training.frozen={value}")
    assert outcome.code == 2
    assert line in outcome.err
    assert outcome.out == ""
