"""Checkpoints: written atomically, read without pickle's powers."""

import copy
import logging
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from metadialog.errors import RunError
from metadialog.runs.atomic import replacing

_log = logging.getLogger(__name__)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint so that a whole one is there whenever the process dies, or the disk is full.

    Raises:
        OSError: it cannot be written; the one that was there stays.
    """
    with replacing(path) as partial, partial.open("wb") as file:
        torch.save(state, file)


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


class Checkpoints:
    """The two checkpoints of a run: where it is, and where it was best.

    Where they cannot be written, as on a full disk, that is said once; the last good ones stay, and the best model is
    kept in memory instead, so that training can go on.

    Args:
        last: path of the one.
        best: path of the other.
    """

    def __init__(self, last: Path, best: Path) -> None:
        self._last = last
        self._best = best
        self._best_learned: dict[str, Any] | None = None  # where it is not on the disk
        self._failing = False

    def save(self, make_state: Callable[[], dict[str, Any]], best: Mapping[str, Any] | None = None) -> None:
        """Write the state as the last checkpoint, and as the best one too if it is that.

        Args:
            make_state: returns the state, or raises an OSError.
            best: what was learned, the part of the state that the best checkpoint is for, if no validation was better.
        """
        if best is not None:
            self._best_learned = copy.deepcopy(dict(best))
        try:
            state = make_state()
            # The best one first: the last one says which step it is of.
            if best is not None:
                save_checkpoint(self._best, state)
            elif self._best_learned is not None:
                save_checkpoint(self._best, self._best_learned)
            self._best_learned = None
            save_checkpoint(self._last, state)
        except OSError as error:
            if not self._failing:
                _log.warning(
                    "%s cannot be written (%s): the run goes on, but if it breaks off, then from an earlier checkpoint",
                    error.filename,
                    error.strerror,
                )
            self._failing = True
            return
        self._failing = False

    def best(self) -> dict[str, Any]:
        """Return what was learned at the best validation.

        Raises:
            RunError: it is missing or damaged.
        """
        if self._best_learned is not None:
            return self._best_learned
        state = load_checkpoint(self._best, torch.device("cpu"))
        return {name: state[name] for name in ("model", "learned")}


def latest_checkpoint(last: Path, best: Path) -> dict[str, Any] | None:
    """Return the checkpoint that a run goes on from, on the CPU; None if it broke off before it wrote one.

    The best one is written first: if the process died before it wrote the last one too, then the best is the later. If
    it was written late, from memory, it is of the model alone, and there is nothing to go on from.

    Raises:
        RunError: one of them is damaged.
    """
    found = [load_checkpoint(path, torch.device("cpu")) for path in (last, best) if path.exists()]
    whole = [state for state in found if "standing" in state]
    return max(whole, key=lambda state: int(state["standing"]["step"]), default=None)
