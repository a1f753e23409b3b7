"""Fixtures: tasks from real topics, algorithms from their yaml files, and a small model."""

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from torch import nn

from metadialog.algorithms.base import Algorithm, Tools
from metadialog.config import build, plain
from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.datasets.corpus import build_corpus
from metadialog.datasets.dialogue import Dialogue
from metadialog.models.rnn import DialogModel
from metadialog.samplers.episodes import EpisodeSampler
from metadialog.tokenizers.byte_pair import BytePairTokenizer
from metadialog.tokenizers.tokenizer import Tokenizer

CHOICES = sorted(path.stem for path in (Path(__file__).parents[2] / "conf" / "algorithm").glob("*.yaml"))
TRAIN, HELD_OUT = ("ai", "botprofile", "food", "humor", "trivia"), ("emotion", "movies")


@functools.cache
def composed(*overrides: str) -> dict[str, Any]:
    """Return the config of a training run with some choices; tests must not change it."""
    with initialize_config_module("metadialog.conf", version_base="1.3"):
        config: dict[str, Any] = plain(compose("train", list(overrides)))
    return config


@pytest.fixture(params=CHOICES)
def choice(request: pytest.FixtureRequest) -> str:
    """Each choice of `algorithm`."""
    return str(request.param)


@pytest.fixture
def make_algorithm() -> Callable[..., Algorithm]:
    """A function that builds an algorithm from its yaml, with given options changed."""

    def make(choice: str, *, engine: str = "learn2learn", inner: str = "inner=sgd", **options: object) -> Algorithm:
        config = composed(f"algorithm={choice}", f"engine={engine}", inner)
        algorithm: Algorithm = build(
            {**copy.deepcopy(config["algorithm"]), **options}, Tools(build(config["engine"]), build(config["inner"]))
        )
        return algorithm

    return make


@pytest.fixture
def make_model(tokenizer: Tokenizer) -> Callable[[str], nn.Module]:
    """A function that builds a small model of any kind, without dropout."""

    def make(kind: str) -> nn.Module:
        config = composed(f"model={kind}", "model.embedding_size=8", "model.hidden_size=8", "model.dropout=0")
        torch.manual_seed(0)
        model: nn.Module = build(config["model"], tokenizer.vocab_size)
        return model

    return make


@pytest.fixture(scope="session")
def topics() -> Mapping[str, Sequence[Dialogue]]:
    return build_corpus(ChatterbotDataset(language="english").dialogues(), "chatterbot").topics


@pytest.fixture(scope="session")
def tokenizer(topics: Mapping[str, Sequence[Dialogue]]) -> Tokenizer:
    texts = (turn.text for topic in TRAIN for dialogue in topics[topic] for turn in dialogue.turns)
    return BytePairTokenizer(vocab_size=300).train(texts)


@pytest.fixture
def sampler(topics: Mapping[str, Sequence[Dialogue]], tokenizer: Tokenizer) -> EpisodeSampler:
    return EpisodeSampler(
        {topic: topics[topic] for topic in TRAIN},
        tokenizer,
        0,
        shots=3,
        queries=3,
        context_turns=1,
        max_tokens=16,
        loss_on="response",
        topic_weighting="uniform",
        temperature=1.0,
    )


@pytest.fixture
def model(tokenizer: Tokenizer) -> DialogModel:
    torch.manual_seed(0)
    return DialogModel(
        tokenizer.vocab_size,
        cell="gru",
        embedding_size=16,
        hidden_size=32,
        layers=1,
        dropout=0.0,
        tied_embedding=False,
    )
