"""The exported model: weights, tokenizer and config, which load without pickle."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import nn

from metadialog.algorithms.base import Algorithm
from metadialog.config import build
from metadialog.errors import RunError
from metadialog.models.parts import freeze
from metadialog.runs.atomic import replacing, write_atomically
from metadialog.runs.config_file import read_config
from metadialog.runs.layout import LEARNED, MODEL_CONFIG, OLD_MODEL_CONFIG, TOKENIZER, WEIGHTS
from metadialog.tokenizers.tokenizer import Tokenizer

_KEPT = ("model", "algorithm", "inner", "objective", "sampler", "dtype", "generation")

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


def export_model(
    directory: Path, model: nn.Module, algorithm: Algorithm, tokenizer: Tokenizer, config: Mapping[str, Any]
) -> None:
    """Write a model so that it can be used without its run.

    Args:
        directory: is made; a model that is there is replaced.
        model: the model.
        algorithm: what it has learned beside the model is kept.
        tokenizer: its tokenizer.
        config: the run's resolved config, or that of an exported model; what the model and its use need of it is kept.

    Raises:
        OSError, RunError: a file cannot be written; each that was there is there as it was, or as it shall be.
    """
    kept = {key: config[key] for key in _KEPT if key in config}
    kept["frozen"] = config["training"]["frozen"] if "training" in config else config.get("frozen", [])
    _save_tensors(directory / WEIGHTS, model)
    if algorithm.learned.state_dict():
        _save_tensors(directory / LEARNED, algorithm.learned)
    with replacing(directory / TOKENIZER) as partial:
        tokenizer.save(partial)
    write_atomically(directory / MODEL_CONFIG, json.dumps({"library_name": "metadialog", **kept}, indent=2) + "\n")


def read_exported_config(directory: Path) -> dict[str, Any]:
    """Read the config of an exported model.

    Raises:
        RunError: it is missing or damaged.
    """
    old = directory / OLD_MODEL_CONFIG
    if old.exists() and not (directory / MODEL_CONFIG).exists():
        return read_config(old)
    try:
        config = json.loads((directory / MODEL_CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(
            f"{directory / MODEL_CONFIG}: no readable config of a model: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(config, dict):
        raise RunError(f"{directory / MODEL_CONFIG}: no config of a model: it should hold an object")
    return config


def _save_tensors(path: Path, module: nn.Module) -> None:
    try:
        with replacing(path) as partial:
            save_model(_apart(module), str(partial))
    except SafetensorError as error:
        raise RunError(f"{path}: cannot be written: {' '.join(str(error).split())}") from error


def _apart(module: nn.Module) -> nn.Module:
    """Return a copy on the CPU whose weights have memory of their own each, as safetensors asks for.

    On a GPU those of a recurrent layer are parts of one block. Tied weights stay one.
    """
    return copy.deepcopy(module).cpu()  # copying a parameter makes memory for it


def load_tokenizer(directory: Path) -> Tokenizer:
    """Load the tokenizer of an exported model.

    Raises:
        RunError: it is missing or damaged.
    """
    try:
        return Tokenizer.load(directory / TOKENIZER)
    except _DAMAGE as error:
        raise _unreadable(directory, error) from error


def load_exported(directory: Path, algorithm: Algorithm, tokenizer: Tokenizer, device: torch.device) -> nn.Module:
    """Load an exported model, and what its algorithm has learned beside it.

    Raises:
        RunError: a part is missing or damaged, or was learned with other options of the algorithm.
    """
    try:
        config = read_exported_config(directory)
        dtype = getattr(torch, config["dtype"])
        bare = build(config["model"], tokenizer.vocab_size)
        freeze(bare, config.get("frozen", []), "frozen")
        model: nn.Module = algorithm.prepare(bare)
        model.to(dtype)
        algorithm.learned.to(dtype)
        load_model(model, directory / WEIGHTS)  # on the CPU, for the reason that `_apart` gives
        if algorithm.learned.state_dict():
            load_model(algorithm.learned, directory / LEARNED)
        model.to(device)
        algorithm.learned.to(device)
    except _DAMAGE as error:
        if "loading state_dict" in str(error):  # torch's words for a whole file that holds other tensors
            raise _unfitting(directory, algorithm, error) from error
        raise _unreadable(directory, error) from error
    return model


def take_weights(directory: Path, model: nn.Module, tokenizer: Tokenizer) -> None:
    """Give a model the weights of an exported one.

    Args:
        directory: of the exported model.
        model: of the same kind and sizes, as its algorithm has not yet prepared it.
        tokenizer: of the model.

    Raises:
        RunError: the exported model is missing or damaged, or of another kind or size, or has another tokenizer.
    """
    if load_tokenizer(directory).to_json() != tokenizer.to_json():
        raise RunError(
            f"{directory / TOKENIZER}: not this run's tokenizer; both runs should have the same dataset, split and "
            "tokenizer options"
        )
    try:
        load_model(model, directory / WEIGHTS, device=str(next(model.parameters()).device))
    except _DAMAGE as error:
        reason = " ".join(str(error).split())
        raise RunError(f"{directory / WEIGHTS}: not the weights of this run's model: {reason}") from error


def _unfitting(directory: Path, algorithm: Algorithm, error: Exception) -> RunError:
    return RunError(
        f"{directory}: what the run has learned does not fit the options of algorithm={algorithm.name} and of inner; "
        "those that decide what is learned, such as algorithm.inner_steps where each step has rates of its own, should "
        f"be as the run has them: {' '.join(str(error).split())}"
    )


def _unreadable(directory: Path, error: Exception) -> RunError:
    return RunError(f"{directory}: no readable exported model: {' '.join(str(error).split())}")
