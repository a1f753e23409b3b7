"""Small exported models of every kind, and a few dialogues of one topic."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module

from metadialog.config import build, plain
from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.experiment.session import make_algorithm
from metadialog.tokenizers.byte_pair import BytePairTokenizer
from metadialog.tokenizers.tokenizer import Tokenizer
from metadialog.training.export import export_model

Export = Callable[..., Path]

FOOD = [
    ["what do you eat", "electricity, mostly"],
    ["are you hungry", "always, for electricity"],
    ["what did you have for breakfast", "ten watts of electricity"],
    ["do you like soup", "no, electricity is better"],
    ["what is your favourite dish", "electricity, of course"],
]


@pytest.fixture
def food() -> list[list[str]]:
    """Return five dialogues about food."""
    return [list(turns) for turns in FOOD]


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """Return a small tokenizer."""
    dialogues = list(ChatterbotDataset(language="english").dialogues())
    return BytePairTokenizer(vocab_size=300).train(turn.text for one in dialogues[:50] for turn in one.turns)


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Export:
    """Return a function that exports a small model with random weights, made with some overrides; not to be changed."""

    @cache
    def make(*overrides: str) -> Path:
        with initialize_config_module("metadialog.conf", version_base="1.3"):
            sizes = ["model.embedding_size=12", "model.hidden_size=16", *overrides]
            config: dict[str, Any] = plain(compose("train", sizes))
        torch.manual_seed(0)
        algorithm = make_algorithm(config, tokenizer)
        model = algorithm.prepare(build(config["model"], tokenizer.vocab_size))
        folder = tmp_path_factory.mktemp("exported")
        export_model(folder, model, algorithm, tokenizer, config)
        return folder

    return make
