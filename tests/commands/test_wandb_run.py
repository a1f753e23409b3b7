"""A complete run with Weights & Biases offline, read from wandb's file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

Run = Callable[..., Any]


def test_the_offline_run_holds_what_the_run_directory_holds(run: Run, read_wandb: Callable[..., Any]) -> None:
    outcome = run("train", "debug=smoke", "logger.mode=offline", "logger.tags=[trial]")
    assert outcome.code == 0, outcome.err
    directory = outcome.run_directory
    wandb_run = read_wandb(directory)

    expected = {}
    for line in (directory / "metrics.jsonl").read_text().splitlines():
        metric = json.loads(line)
        expected[metric["step"], f"{metric['split']}/{metric['name']}"] = metric["value"]
    found = {}
    for row in wandb_run.history:
        for name, value in row.items():
            if name.startswith("meta_") and "/" in name:
                found[row["meta_step"], name] = value
    assert found == expected
    assert {name for _, name in found} >= {
        "meta_train/meta_loss",
        "meta_train/support_loss",
        "meta_train/query_loss",
        "meta_train/gradient_norm",
        "meta_train/tasks_per_second",
        "meta_validation/loss_after",
    }

    assert wandb_run.config["algorithm"]["inner_lr"] == 0.3
    assert wandb_run.config["model"]["hidden_size"] == 8  # as resolved: debug=smoke overrides the others
    assert list(wandb_run.run.tags) == ["trial"]
    assert wandb_run.run.display_name == "maml-chatterbot-english-seed0"
    logged = {name for row in wandb_run.history for name in row}
    assert {"samples", "adaptation_records"} <= logged
    assert any(name.startswith("adaptation_curve") for name in logged)
    assert [artifact.type for artifact in wandb_run.artifacts].count("model") == 1
    assert wandb_run.exit_code == 0

    records = pd.read_parquet(directory / "adaptation.parquet")
    before = records[records["inner_step"] == 0]["loss"].mean()
    after = records[records["inner_step"] == 1]["loss"].mean()
    assert abs(wandb_run.summary["adaptation/gain"] - (before - after)) < 1e-12


def test_a_run_that_fails_is_marked_as_failed(run: Run, read_wandb: Callable[..., Any]) -> None:
    options = (
        *("algorithm.inner_lr=1e6", "algorithm.inner_steps=5", "inner.weight_decay=1e3"),
        "training.steps=5",
        "hydra.run.dir=diverged",
    )
    outcome = run("train", "debug=smoke", "logger.mode=offline", *options)
    assert outcome.code == 2
    assert "training diverged" in outcome.err
    assert read_wandb(Path("diverged")).exit_code == 1
