"""A run's way to the trial that it belongs to: it reports its validations, and hears when it is to end."""

import json
import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from metadialog.runs import layout
from metadialog.runs.atomic import write_atomically
from metadialog.runs.reading import is_there
from metadialog.runs.schemas import read_trial
from metadialog.sweeps.storage import hide_password, known_url, open_storage, sqlite_url

if TYPE_CHECKING:
    import optuna

_log = logging.getLogger(__name__)


class Trial(Protocol):
    """What training tells of its validations."""

    def report(self, step: int, loss: float) -> str | None:
        """Tell of a validation.

        Args:
            step: the outer step that it was made after.
            loss: after adaptation, nats.

        Returns:
            Why the run is not worth going on with; None if it is.
        """
        ...


class NoTrial:
    """A run that belongs to no sweep."""

    def report(self, step: int, loss: float) -> str | None:  # noqa: ARG002 - so it is called
        """Have it go on."""
        return None


class StudyTrial:
    """A run that is a trial of a study, which may lie on another machine.

    Where the storage cannot be reached, that is said once, and the run goes on without it.

    Args:
        trial: the trial.
    """

    def __init__(self, trial: "optuna.Trial") -> None:
        self._trial = trial
        self._silent = False

    def report(self, step: int, loss: float) -> str | None:
        """Write a validation to the storage; see `Trial.report`."""
        if self._silent:
            return None
        try:
            if step not in self._trial.storage.get_trial(self._trial._trial_id).intermediate_values:  # noqa: SLF001
                self._trial.report(math.inf if math.isnan(loss) else loss, step)
            bad = self._trial.should_prune()
        except Exception as error:  # noqa: BLE001 - a storage raises what its client raises; the run is worth more
            _log.warning("the sweep's storage cannot be reached (%s): the run goes on, and is not pruned", error)
            self._silent = True
            return None
        return (
            f"at step {step}: validation loss {loss:.4f} is worse than the median of the other trials" if bad else None
        )


def write_trial(directory: Path, storage: str, study: str, trial_id: int, pruner: dict[str, Any]) -> None:
    """Leave in a run's directory which trial it is; without the password of the storage's URL."""
    text = json.dumps({"storage": hide_password(storage), "study": study, "trial": trial_id, "pruner": pruner})
    write_atomically(directory / layout.TRIAL, text, mode=0o600)


def load_trial(directory: Path) -> Trial:
    """Return the trial that the run in a directory belongs to."""
    path = directory / layout.TRIAL
    if not is_there(path):
        return NoTrial()
    import optuna

    try:
        about = read_trial(path)
        url = _allowed(about.storage, directory)
        if url is None:
            _log.warning("%s: names a storage that this run was not started with: the run is not pruned", path)
            return NoTrial()
        study = optuna.load_study(
            study_name=about.study, storage=open_storage(url), pruner=make_pruner(**about.pruner.model_dump())
        )
        return StudyTrial(optuna.Trial(study, about.trial))
    except Exception as error:  # noqa: BLE001 - as above
        _log.warning("%s: the sweep's storage cannot be reached (%s): the run is not pruned", path, error)
        return NoTrial()


def _allowed(shown: str, directory: Path) -> str | None:
    """Return the URL to open: that of the sweep that has started this run, or the database beside it; None for others.

    Whoever wrote the run's directory chose what is named there, and opening it may make files or run code.
    """
    url = known_url(shown)
    beside = directory.absolute().parent / layout.STUDY
    if url is None and shown.startswith("sqlite:") and beside.is_file():
        named = Path(shown.partition(":///")[2])
        url = sqlite_url(beside) if named.name == layout.STUDY else None
    return url


def make_pruner(kind: Literal["median", "none"], trials: int, step: int) -> "optuna.pruners.BasePruner":
    """Return what decides which runs are bad.

    Args:
        kind: `median` or `none`.
        trials: number of trials that are not pruned.
        step: outer steps that a trial makes before it may be pruned.
    """
    from optuna.pruners import MedianPruner, NopPruner

    if kind == "none":
        return NopPruner()
    return MedianPruner(n_startup_trials=trials, n_warmup_steps=step)
