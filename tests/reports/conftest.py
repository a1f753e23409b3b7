"""Fixtures: run directories like those of `metadialog train`, with random numbers from a fixed seed."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from metadialog.config import plain
from metadialog.episodes import Episode
from metadialog.evaluation.records import Record, to_frame, write_records

MakeRun = Callable[..., Path]
TOPICS = ("food & drink", "sport_2", "weiß|heiß", "<b>money</b>", "travel", "music")
BEST = {"maml": 2.8, "finetune": 3.0, "scratch": 4.0, "zero_shot": 3.1}


@pytest.fixture(scope="session")
def configs() -> Mapping[str, dict[str, Any]]:
    """The config of each algorithm, composed by Hydra."""
    with initialize_config_module("metadialog.conf", version_base="1.3"):
        return {name: plain(compose("train", [f"algorithm={name}", "logger=local"])) for name in BEST}


@pytest.fixture
def make_run(tmp_path: Path, write_run: MakeRun) -> MakeRun:
    """Return a function that writes a run below the test's temporary folder."""
    return partial(write_run, tmp_path)


@pytest.fixture(scope="session")
def write_run(configs: Mapping[str, dict[str, Any]]) -> MakeRun:
    """Return a function that writes a finished run of an algorithm and a seed below a folder."""

    def write(
        base: Path,
        algorithm: str,
        seed: int,
        *,
        place: str = "runs",
        options: Mapping[str, Any] | None = None,
        shots: tuple[int, ...] = (1, 5),
        steps: int = 4,
        support: str = "s",
        words: int = 30,
        dataset: str = "talk",
        topics: tuple[str, ...] = TOPICS,
        state: str = "finished",
        cost: Mapping[str, float] | None = None,
        language: str = "en",
        chosen: bool = False,
    ) -> Path:
        path = base / place / f"{algorithm}-{seed}"
        while path.exists():
            path = path.with_name(path.name + "x")
        path.mkdir(parents=True)
        config = OmegaConf.create(configs[algorithm])
        for key, value in {"seed": seed, **(options or {})}.items():
            OmegaConf.update(config, key, value)
        OmegaConf.save(config, path / "config.yaml")
        reason = "ConfigError: no" if state == "failed" else None
        status = {"status": state, "reason": reason, "command": "metadialog train", "git_revision": "abc"}
        (path / "status.json").write_text(json.dumps(status))
        if cost:
            (path / "cost.json").write_text(json.dumps({"meta_train": cost}))
        name = str(config.algorithm.name)
        drawn = [(topic, index, count) for topic in topics for index in range(3) for count in shots]
        records = [
            record
            for topic, index, count in drawn
            for record in _records(name, algorithm, seed, topic, index, count, steps, words, dataset, chosen)
        ]
        episodes = [
            SimpleNamespace(
                topic=topic, index=index, shots=count, query_ids=[f"q{index}"], support_ids=[support] * count
            )
            for topic, index, count in drawn
        ]
        write_records(path / "adaptation.parquet", to_frame(records), cast("list[Episode]", episodes), language)
        return path

    return write


def _records(
    name: str,
    algorithm: str,
    seed: int,
    topic: str,
    index: int,
    shots: int,
    steps: int,
    words: int,
    dataset: str,
    chosen: bool,
) -> list[Record]:
    number = TOPICS.index(topic) if topic in TOPICS else len(topic)
    common = np.random.default_rng([number, index])
    hard, tokens = common.normal(0, 0.3), int(common.integers(40, 80))
    own = np.random.default_rng([list(BEST).index(algorithm), seed, number, index])
    rate = 0.0 if algorithm == "zero_shot" else 0.1 * shots / 5
    best = 0 if algorithm == "zero_shot" else 3 if seed else 2
    found = []
    for step in range(1 if algorithm == "zero_shot" else steps + 1):
        loss = BEST[algorithm] + hard - rate * step + own.normal(0, 0.03)
        record = Record(
            algorithm=name, engine="auto", dataset=dataset, seed=seed, split="meta_test", topic=topic, episode=index,
            shots=shots, inner_step=step, loss=loss, tokens=tokens, words=words, word_perplexity=0.0,
            token_accuracy=0.25, rate=1.0, selected=chosen and step == best,
            bleu=None, rouge_l=None, chrf=None, distinct_1=None, distinct_2=None,
        )  # fmt: skip
        if step in (0, steps) or record.selected:
            score = 5 + step + own.normal(0, 1)
            record = replace(record, bleu=score, chrf=score * 3, rouge_l=score / 50, distinct_1=0.5, distinct_2=0.7)
        found.append(record)
    return found
