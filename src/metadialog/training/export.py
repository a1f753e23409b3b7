"""Exported models: weights, tokenizer and config, which load without pickle."""

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors import torch as safetensors_torch
from torch import nn

from metadialog.algorithms.base import Algorithm
from metadialog.algorithms.prepare import prepared_model
from metadialog.config import check, complete
from metadialog.errors import ConfigError, RunError
from metadialog.escapes import escaped, shortened
from metadialog.runs.atomic import replacing, write_atomically
from metadialog.runs.checksums import check_checksums, remove_checksums, write_checksums
from metadialog.runs.config_file import read_model_config
from metadialog.runs.layout import LEARNED, MODEL_CONFIG, OLD_MODEL_CONFIG, TOKENIZER, WEIGHTS
from metadialog.runs.reading import MIB, check_regular, unreadable
from metadialog.tokenizers.tokenizer import Tokenizer
from metadialog.training.model_card import About, about_run, dump, write_card
from metadialog.trust import check_strangers

_KEPT = ("model", "algorithm", "inner", "objective", "sampler", "dtype", "generation", "adaptation")

_TOKENIZER_LIMIT = 1024 * MIB
_WEIGHTS_LIMIT = 2**20 * MIB

# Errors of reading a file that is damaged or names something missing.
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
    directory: Path,
    model: nn.Module,
    algorithm: Algorithm,
    tokenizer: Tokenizer,
    config: Mapping[str, Any],
    about: About | None = None,
) -> None:
    """Write a model to a folder, for use without its run.

    Args:
        directory: folder to create; a model in it is replaced.
        model: the model.
        algorithm: its learned tensors are written too.
        tokenizer: tokenizer of the model.
        config: resolved config of the run or of an exported model; the parts that the model needs are written.
        about: content of its card; None to take it from the config.

    Raises:
        OSError, RunError: a file cannot be written; each file is then either the old or the new one.
    """
    kept = {key: config[key] for key in _KEPT if key in config}
    kept["frozen"] = config["training"]["frozen"] if "training" in config else config.get("frozen", [])
    remove_checksums(directory)
    _save_tensors(directory / WEIGHTS, model)
    if algorithm.learned.state_dict():
        _save_tensors(directory / LEARNED, algorithm.learned)
    with replacing(directory / TOKENIZER) as partial:
        tokenizer.save(partial)
    about = about or about_run(config)
    content = {"library_name": "metadialog", "about": about.to_dict(), **kept}
    write_atomically(directory / MODEL_CONFIG, dump(content))
    write_card(directory, about)
    learned = [LEARNED] if algorithm.learned.state_dict() else []
    write_checksums(directory, [WEIGHTS, *learned, TOKENIZER, MODEL_CONFIG])


def read_exported_config(directory: Path) -> dict[str, Any]:
    """Read the config of an exported model, as data.

    Raises:
        RunError: it is missing or damaged, or names an untrusted class.
    """
    path = exported_config(directory)
    config = read_model_config(path)
    check_strangers(config, path)
    return config


def exported_config(directory: Path) -> Path:
    """Return the path of the config of an exported model, which had another name in version 0.1.0."""
    old, path = directory / OLD_MODEL_CONFIG, directory / MODEL_CONFIG
    return old if os.path.lexists(old) and not os.path.lexists(path) else path


def check_nodes(config: Mapping[str, Any], names: Sequence[str], path: Path) -> None:
    """Check nodes of an exported model's config against the signatures of their classes, as a run checks its own.

    Args:
        config: result of `read_exported_config`, so that its classes are trusted.
        names: names of the nodes; those that are not there are passed over.
        path: the file that contains them, for messages.

    Raises:
        RunError: an option is unknown, missing, of a wrong type or out of range.
    """
    for name in names:
        if name in config:
            try:
                check(complete(config[name], name), name)
            except ConfigError as error:
                raise RunError(f"{path}: {str(error).splitlines()[0]}") from error


def _save_tensors(path: Path, module: nn.Module) -> None:
    try:
        with replacing(path) as partial:
            safetensors_torch.save_model(_apart(module), str(partial))
    except SafetensorError as error:
        raise RunError(f"{path}: cannot be written: {' '.join(str(error).split())}") from error


def _apart(module: nn.Module) -> nn.Module:
    """Return a copy on the CPU whose weights do not share memory, as safetensors requires.

    On a GPU, the weights of a recurrent layer are parts of one block. Tied weights stay tied.
    """
    return copy.deepcopy(module).cpu()  # a copied parameter has its own memory


def check_exported(directory: Path) -> None:
    """Check the files of an exported model before it is used.

    Raises:
        RunError: one is missing or damaged, or the config names an untrusted class.
    """
    read_exported_config(directory)
    load_tokenizer(directory)
    path = directory / WEIGHTS
    check_regular(path, _WEIGHTS_LIMIT, "weights of a model")
    try:
        with safe_open(path, framework="pt") as file:
            file.keys()
    except _DAMAGE as error:
        raise _unreadable(path, error) from error


def load_tokenizer(directory: Path) -> Tokenizer:
    """Load the tokenizer of an exported model.

    Raises:
        RunError: it is missing or damaged.
    """
    check_regular(directory / TOKENIZER, _TOKENIZER_LIMIT, "tokenizer")
    check_checksums(directory)
    try:
        return Tokenizer.load(directory / TOKENIZER)
    except Exception as error:
        # The library raises plain exceptions.
        raise _unreadable(directory / TOKENIZER, error) from error


def load_exported(directory: Path, algorithm: Algorithm, tokenizer: Tokenizer, device: torch.device) -> nn.Module:
    """Load an exported model, and the learned tensors of its algorithm.

    Raises:
        RunError: a part is missing or damaged, or was learned with other options of the algorithm, or a weight is not
            finite.
    """
    config = read_exported_config(directory)
    check_nodes(config, ("model",), exported_config(directory))
    check_checksums(directory)
    try:
        dtype = getattr(torch, config["dtype"])
        model = prepared_model(config["model"], tokenizer.vocab_size, algorithm, config.get("frozen", []))
        model.to(dtype)
        algorithm.learned.to(dtype)
        _load_tensors(model, directory / WEIGHTS)  # on the CPU; see `_apart`
        if algorithm.learned.state_dict():
            _load_tensors(algorithm.learned, directory / LEARNED)
        model.to(device)
        algorithm.learned.to(device)
    except ConfigError as error:  # such as moved files of a pretrained model
        raise RunError(f"{exported_config(directory)}: {error}") from error
    except _DAMAGE as error:
        if "loading state_dict" in str(error):  # torch's message for an intact file with other tensors
            raise _unfitting(directory, algorithm, error) from error
        raise _unreadable(directory, error) from error
    return model


def _load_tensors(module: nn.Module, path: Path, device: str = "cpu") -> None:
    """Load the tensors of a module.

    Raises:
        RunError: the file is missing, or holds a number that is not finite.
    """
    check_regular(path, _WEIGHTS_LIMIT, "weights of a model")
    try:
        safetensors_torch.load_model(module, path, device=device)
    except SafetensorError as error:
        raise _unreadable(path, error) from error
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise RunError(f"{path}: {name} holds values that are not finite, so the model cannot be used")


def take_weights(directory: Path, model: nn.Module, tokenizer: Tokenizer) -> None:
    """Load the weights of an exported model into a model.

    Args:
        directory: folder of the exported model.
        model: model of the same class and sizes, not yet prepared by its algorithm.
        tokenizer: of the model.

    Raises:
        RunError: the exported model is missing or damaged, or has another class, size or tokenizer.
    """
    if load_tokenizer(directory).to_json() != tokenizer.to_json():
        raise RunError(
            f"{directory / TOKENIZER}: not this run's tokenizer; both runs should have the same dataset, split and "
            "tokenizer options"
        )
    check_checksums(directory)
    try:
        _load_tensors(model, directory / WEIGHTS, str(next(model.parameters()).device))
    except _DAMAGE as error:
        reason = escaped(shortened(str(error)))
        raise RunError(f"{directory / WEIGHTS}: not the weights of this run's model: {reason}") from error


def _unfitting(directory: Path, algorithm: Algorithm, error: Exception) -> RunError:
    return RunError(
        f"{directory}: the learned tensors do not fit the options of algorithm={algorithm.name} and of inner; "
        "options that determine what is learned, such as algorithm.inner_steps with learned rates for each step, "
        "should "
        f"be as the run has them: {escaped(shortened(str(error)))}"
    )


def _unreadable(path: Path, error: Exception) -> RunError:
    return unreadable(path, "exported model", f"{type(error).__name__}: {error}")
