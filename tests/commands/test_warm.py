"""Meta-learning that starts from a jointly trained model: as a phase of the same run, or from another run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

Run = Callable[..., Any]
SMOKE = (
    "debug=smoke", "logger=local", "training.steps=2", "model.dropout=0.1", "sampler.shots=2", "sampler.queries=2",
    "training.meta_batch=2", "evaluation.queries=2", "generation.max_tokens=3",
)  # fmt: skip


def metrics(directory: Path, name: str, split: str = "meta_train") -> dict[int, float]:
    lines = map(json.loads, (directory / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line["value"] for line in lines if (line["split"], line["name"]) == (split, name)}


def test_a_joint_phase_is_joint_training_and_then_the_algorithm(run: Run) -> None:
    joint = run("train", *SMOKE, "algorithm=finetune", "training.steps=3").run_directory
    warm = run("train", *SMOKE, "start=joint", "start.steps=3").run_directory
    cold = run("train", *SMOKE).run_directory
    losses, before = metrics(warm, "meta_loss"), metrics(joint, "meta_loss")
    assert list(losses) == [1, 2, 3, 4, 5]
    assert {step: losses[step] for step in (1, 2, 3)} == before
    assert set(pd.read_parquet(warm / "adaptation.parquet")["algorithm"]) == {"maml_warm"}
    assert set(pd.read_parquet(cold / "adaptation.parquet")["algorithm"]) == {"maml"}
    costs = {d: json.loads((d / "cost.json").read_text())["meta_train"] for d in (joint, warm, cold)}
    assert costs[warm]["steps"] == costs[joint]["steps"] + costs[cold]["steps"] == 5
    assert costs[warm]["flops"] > costs[joint]["flops"]


def test_it_goes_on_where_it_was_broken_off(run: Run) -> None:
    whole = run("train", *SMOKE, "start=joint", "start.steps=2").run_directory
    part = run("train", *SMOKE, "start=joint", "start.steps=2", "training.steps=1").run_directory
    run("train", f"resume={part}", "training.steps=2")
    assert metrics(part, "meta_loss") == metrics(whole, "meta_loss")
    pd.testing.assert_frame_equal(
        pd.read_parquet(part / "adaptation.parquet"), pd.read_parquet(whole / "adaptation.parquet"), check_exact=True
    )


def test_a_run_starts_from_the_model_of_another(run: Run) -> None:
    joint = run("train", *SMOKE, "algorithm=finetune").run_directory
    warm = run("train", *SMOKE, "start=run", f"start.run={joint}", "algorithm=meta_sgd").run_directory
    after = metrics(joint, "loss_after", "meta_validation")
    best = min(after, key=lambda step: after[step])
    before = metrics(joint, "loss_before", "meta_validation")[best]
    assert metrics(warm, "loss_before", "meta_validation")[0] == pytest.approx(before, rel=1e-6)
    assert set(pd.read_parquet(warm / "adaptation.parquet")["algorithm"]) == {"meta_sgd_warm"}
    costs = [json.loads((d / "cost.json").read_text())["meta_train"]["steps"] for d in (joint, warm)]
    assert costs == [2, 4]
    again = run("evaluate", f"run={warm}", "logger=local").run_directory
    pd.testing.assert_frame_equal(
        pd.read_parquet(again / "adaptation.parquet"), pd.read_parquet(warm / "adaptation.parquet"), check_exact=True
    )


def test_what_does_not_fit_is_refused_in_one_line(run: Run, tmp_path: Path) -> None:
    joint = run("train", *SMOKE, "algorithm=finetune").run_directory
    for wrong, message in (
        (["model.hidden_size=9"], "not the weights of this run's model"),
        (["tokenizer.vocab_size=301"], "not this run's tokenizer"),
        ([f"start.run={tmp_path / 'nowhere'}"], "status.json: no readable status of a run"),
    ):
        outcome = run("train", *SMOKE, "start=run", f"start.run={joint}", *wrong)
        assert outcome.code == 2
        assert message in outcome.err
        assert "Traceback" not in outcome.err
    assert run("train", *SMOKE, "start=run").code == 2
