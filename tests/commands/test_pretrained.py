"""Runs with a pretrained model, from the command line: trained, evaluated again, and small on the disk."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from safetensors import safe_open

SMALL = [
    "training.steps=2",
    "training.validate_every=1",
    "training.validation_episodes=1",
    "training.meta_batch=2",
    "evaluation.episodes_per_topic=1",
    "evaluation.steps=1",
    "evaluation.report_steps=[0,1]",
    "evaluation.queries=1",
    "sampler.shots=2",
    "sampler.queries=1",
    "generation.max_tokens=4",
    "logger=local",
]
pytest.importorskip("transformers")
Run = Callable[..., Any]


def arguments(folder: Path) -> list[str]:
    return ["model=pretrained", f"model.path={folder}", "tokenizer=pretrained", f"tokenizer.path={folder}", *SMALL]


@pytest.mark.parametrize("algorithm", ["low_rank_fomaml", "in_context"])
def test_a_run_is_evaluated_again_from_its_small_export(run: Run, tiny_pretrained: Path, algorithm: str) -> None:
    outcome = run("train", f"algorithm={algorithm}", *arguments(tiny_pretrained))
    assert outcome.code == 0, outcome.err
    directory = outcome.run_directory
    with safe_open(directory / "model" / "model.safetensors", framework="pt") as tensors:
        names = set(tensors.keys())
    assert "fingerprint" in names
    assert all(name == "fingerprint" or name.endswith((".up", ".down")) for name in names)
    again = run("evaluate", f"run={directory}")
    assert again.code == 0, again.err
    first, second = (pd.read_parquet(one / "adaptation.parquet") for one in (directory, again.run_directory))
    pd.testing.assert_frame_equal(first, second)
    assert ("in_prompt" in first.columns) == (algorithm == "in_context")


def test_a_tokenizer_that_is_not_the_models_is_refused(run: Run, tiny_pretrained: Path) -> None:
    outcome = run("train", "model=pretrained", f"model.path={tiny_pretrained}", *SMALL)
    assert outcome.code == 2
    assert "tokenizer=pretrained with tokenizer.path as model.path" in outcome.err
    assert "Traceback" not in outcome.err
