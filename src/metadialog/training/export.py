"""The exported model: weights, tokenizer and config, which load without pickle."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import nn

from metadialog.config import build, read
from metadialog.errors import RunError
from metadialog.tokenizers.tokenizer import Tokenizer
from metadialog.training.atomic import replacing, write_atomically

WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
CONFIG = "config.yaml"

# What reading raises where a file is not as it was written, or names what is not there.
_DAMAGE = (
    OSError,
    LookupError,
    TypeError,
    ValueError,
    ImportError,
    AttributeError,
    RuntimeError,
    SafetensorError,
)


def export_model(directory: Path, model: nn.Module, tokenizer: Tokenizer, config: Mapping[str, Any]) -> None:
    """Write a model so that it can be used without its run.

    Args:
        directory: is made; a model that is there is replaced.
        model: the model.
        tokenizer: its tokenizer.
        config: the run's resolved config; what the model and its use need of it is kept.

    Raises:
        OSError, RunError: a file cannot be written; each that was there is there as it was, or as it shall be.
    """
    kept = {key: config[key] for key in ("model", "algorithm", "sampler", "dtype")}
    try:
        with replacing(directory / WEIGHTS) as partial:
            save_model(model, str(partial))
    except SafetensorError as error:
        raise RunError(f"{directory / WEIGHTS}: cannot be written: {' '.join(str(error).split())}") from error
    with replacing(directory / TOKENIZER) as partial:
        tokenizer.save(partial)
    write_atomically(directory / CONFIG, OmegaConf.to_yaml(OmegaConf.create(kept)))


def load_exported(directory: Path, device: torch.device) -> tuple[nn.Module, Tokenizer]:
    """Load an exported model and its tokenizer.

    Raises:
        RunError: a part is missing or damaged.
    """
    try:
        config = read(directory / CONFIG)
        tokenizer = Tokenizer.load(directory / TOKENIZER)
        model: nn.Module = build(config["model"], tokenizer.vocab_size)
        model.to(device, getattr(torch, config["dtype"]))
        load_model(model, directory / WEIGHTS, device=str(device))
    except (
        OSError,
        LookupError,
        TypeError,
        ValueError,
        ImportError,
        AttributeError,
        RuntimeError,
        SafetensorError,
    ) as error:
        raise RunError(f"{directory}: no readable exported model: {' '.join(str(error).split())}") from error
    return model, tokenizer
