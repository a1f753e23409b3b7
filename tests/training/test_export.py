"""Exported weights: conversion of models' tensors for safetensors."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from torch import nn

from metadialog.config import build, plain
from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.experiment.config import LearningConfig
from metadialog.experiment.learner import make_learner
from metadialog.tokenizers.byte_pair import BytePairTokenizer
from metadialog.training.export import export_model, load_exported


def put_in_one_block(model: nn.Module) -> None:
    """Make all weights views of one block of memory, as cuDNN does with those of a recurrent layer."""
    parameters = list(model.parameters())
    block = torch.cat([parameter.detach().flatten() for parameter in parameters])
    for parameter, part in zip(parameters, torch.split(block, [p.numel() for p in parameters]), strict=True):
        parameter.data = part.view_as(parameter)
    assert len({parameter.untyped_storage().data_ptr() for parameter in parameters}) == 1


@pytest.mark.parametrize("tied", [False, True])
def test_weights_that_share_a_block_of_memory_are_exported(tmp_path: Path, *, tied: bool) -> None:
    with initialize_config_module("metadialog.conf", version_base="1.3"):
        sizes = ["model.embedding_size=4", "model.hidden_size=6", f"model.tied_embedding={tied}"]
        config: dict[str, Any] = plain(compose("train", sizes))
    texts = [turn.text for dialogue in ChatterbotDataset(language="english").dialogues() for turn in dialogue.turns]
    tokenizer = BytePairTokenizer(vocab_size=300).train(texts[:50])
    algorithm = make_learner(LearningConfig.of(config), tokenizer).algorithm
    model = algorithm.prepare(build(config["model"], tokenizer.vocab_size))
    put_in_one_block(model)
    export_model(tmp_path, model, algorithm, tokenizer, config)
    found = load_exported(tmp_path, algorithm, tokenizer, torch.device("cpu")).state_dict()
    torch.testing.assert_close(found, model.state_dict(), rtol=0, atol=0)
    assert len({parameter.untyped_storage().data_ptr() for parameter in model.parameters()}) == 1  # unchanged
