"""Checkpoints, which are written atomically and read without executing pickled code."""

import copy
import logging
import os
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metadialog.errors import RunError
from metadialog.runs import layout
from metadialog.runs.atomic import replacing
from metadialog.runs.checksums import check_zip, seal_zip
from metadialog.runs.reading import MIB, unreadable, validated
from metadialog.runs.schemas import CheckpointStanding

_log = logging.getLogger(__name__)

LEARNED = ("model", "learned")
"""Keys of every checkpoint: what was learned."""
WHOLE = (
    *LEARNED,
    "standing",
    "cost",
    "optimizer",
    "schedule",
    "sampler",
    "seed",
    "metrics_position",
    "logger_run_id",
)
"""Further keys of a checkpoint that a run can be resumed from."""

_WHAT = "checkpoint"
_LIMIT = 2**20 * MIB  # a tebibyte


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint atomically.

    Raises:
        OSError: it cannot be written; the previous one is kept.
    """
    with replacing(path) as partial:
        with partial.open("wb") as file:
            torch.save(state, file)
        seal_zip(partial)


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint without executing code in it.

    Raises:
        RunError: it is missing or damaged.
    """
    if not os.path.lexists(path):
        raise RunError(f"{path}: there is no checkpoint; the run stopped before it wrote one")
    check_zip(path, _LIMIT, _WHAT)
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, LookupError, TypeError, pickle.UnpicklingError) as error:
        # torch's own message advises loading it with full pickle.
        raise unreadable(path, _WHAT, "the file is damaged, or is something else") from error
    if not isinstance(state, dict):
        raise RunError(f"{path}: not a checkpoint of a run: it should be a dictionary")
    return state


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of a run to the CPU, and check its contents.

    Raises:
        RunError: it is missing, damaged, or not a checkpoint of a run.
    """
    state = load_checkpoint(path, torch.device("cpu"))
    _check_contents(state, path)
    return state


def _check_contents(state: Mapping[str, Any], path: Path) -> None:
    """Check the contents of a checkpoint.

    Raises:
        RunError: something is missing or has the wrong type.
    """
    needed = WHOLE if "standing" in state else LEARNED
    missing = [key for key in needed if key not in state]
    if missing:
        raise RunError(f"{path}: not a checkpoint of a run: it lacks {', '.join(missing)}")
    for key in ("model", "learned"):
        if not isinstance(state[key], dict) or not all(isinstance(value, Tensor) for value in state[key].values()):
            raise RunError(f"{path}: not a checkpoint of a run: {key} should hold tensors by name")
    if needed is WHOLE:
        validated(state["standing"], CheckpointStanding, f"{path}: standing", "standing of a run")
        if not isinstance(state["metrics_position"], int) or not isinstance(state["seed"], int):
            raise RunError(f"{path}: not a checkpoint of a run: metrics_position and seed should be whole numbers")


class Checkpoints:
    """The last and the best checkpoint of a run.

    If they cannot be written, as on a full disk, a warning is logged once, the last good ones are kept, and the best
    model is kept in memory so that training can continue.

    Args:
        last: path of the last checkpoint.
        best: path of the best checkpoint.
    """

    def __init__(self, last: Path, best: Path) -> None:
        self._last = last
        self._best = best
        self._best_learned: dict[str, Any] | None = None  # set if it is not on the disk
        self._failing = False

    def save(self, make_state: Callable[[], dict[str, Any]], best: Mapping[str, Any] | None = None) -> None:
        """Write the state as the last checkpoint, and also as the best one if it is.

        Args:
            make_state: returns the state; may raise an OSError.
            best: the learned part of the state if this is the best validation so far; otherwise None.
        """
        if best is not None:
            self._best_learned = copy.deepcopy(dict(best))
        try:
            state = make_state()
            # The best one first, as the last one records its step.
            if best is not None:
                save_checkpoint(self._best, state)
            elif self._best_learned is not None:
                save_checkpoint(self._best, self._best_learned)
            self._best_learned = None
            save_checkpoint(self._last, state)
        except OSError as error:
            if not self._failing:
                _log.warning(
                    "%s cannot be written (%s): the run continues, but could only be resumed from an earlier "
                    "checkpoint",
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
        state = read_checkpoint(self._best)
        return {name: state[name] for name in ("model", "learned")}


def _check_begun(run: Path) -> None:
    """Check that a run without a checkpoint has left no results that a new start would overwrite.

    Raises:
        RunError: it has.
    """
    for name in (layout.RECORDS, layout.MODEL):
        if os.path.lexists(run / name):
            raise RunError(
                f"{run / layout.CHECKPOINTS}: there is no checkpoint to resume from, although the run has written "
                f"{name}; "
                "start a new run in another directory"
            )


def latest_checkpoint(last: Path, best: Path) -> dict[str, Any] | None:
    """Return the checkpoint to resume a run from, on the CPU; None if it was interrupted before its first one.

    The best checkpoint is written first, so it is the later one if the process died before it wrote the last one. If it
    was written late, from memory, it holds only the model and cannot be resumed from.

    Raises:
        RunError: one of them is damaged, or there is none although the run has finished.
    """
    # A dangling symbolic link is damage, not a run that has just started.
    results = [read_checkpoint(path) for path in (last, best) if os.path.lexists(path)]
    if not results:
        _check_begun(last.parent.parent)
    whole = [state for state in results if "standing" in state]
    return max(whole, key=lambda state: int(state["standing"]["step"]), default=None)
