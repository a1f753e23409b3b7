"""Checkpoints: written atomically, read without pickle's powers."""

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from metadialog.errors import RunError


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint so that a whole one is there whenever the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint; nothing in it can run code.

    Raises:
        RunError: it is missing or damaged.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError as error:
        raise RunError(f"{path}: there is no checkpoint; the run stopped before it wrote one") from error
    except OSError as error:
        raise RunError(f"{path}: not a readable checkpoint: {error.strerror or error}") from error
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        # What torch says here is advice to load it with pickle's powers.
        raise RunError(f"{path}: not a readable checkpoint; the file is damaged, or of something else") from error
    if not isinstance(state, dict):
        raise RunError(f"{path}: not a checkpoint of a run")
    return state
