"""Runs with a pretrained model from the command line: training, evaluation, and size on the disk."""

import json
import shutil
import socket
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


@pytest.mark.parametrize("lost", ["whole", "part"])
def test_lost_weights_are_told_before_there_is_a_run(
    run: Run, tiny_pretrained: Path, tmp_path: Path, lost: str
) -> None:
    folder = Path(shutil.copytree(tiny_pretrained, tmp_path / "damaged"))
    (folder / "model.safetensors").unlink()
    if lost == "part":
        index = {"metadata": {}, "weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors"}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    outcome = run("train", *arguments(folder))
    assert outcome.code == 2
    [line] = outcome.err.splitlines()
    told = "holds no model.safetensors" if lost == "whole" else "lacks model-00001-of-00002.safetensors"
    assert told in line
    assert [*Path.cwd().iterdir()] == []


def test_a_name_of_the_hub_without_a_network_is_told_at_once(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # nothing listens on the port any more
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://me:s3cr3t@127.0.0.1:{port}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    outcome = run("train", *arguments(Path("nobody/nothing")))
    assert outcome.code == 2
    [line] = outcome.err.splitlines()
    assert "model.path=nobody/nothing: is no folder here" in line
    assert "does not answer (127.0.0.1: Connection refused)" in line
    assert "s3cr3t" not in line
    assert [*Path.cwd().iterdir()] == []
