"""The connection of a run to its trial: it reports validations, and may be pruned."""

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
    """Interface to which training reports validations."""

    def report(self, step: int, loss: float) -> str | None:
        """Report a validation.

        Args:
            step: outer step of the validation.
            loss: loss after adaptation, nats per token.

        Returns:
            The reason to prune the run; None to continue.
        """
        ...


class NoTrial:
    """A run that belongs to no sweep."""

    def report(self, step: int, loss: float) -> str | None:  # noqa: ARG002 - same signature
        """Return None, to continue."""
        return None


class StudyTrial:
    """A run that is a trial of a study, which may lie on another machine.

    If the storage cannot be reached, a warning is logged once, and the run continues without it.

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
    """Write the identity of the trial to a run's directory, without the password of the storage's URL."""
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
    """Return the URL to open: that of the sweep that started this run, or of its own database; None for others.

    A run directory of unknown origin may name any URL, and opening it could create files or run code.
    """
    url = known_url(shown)
    beside = directory.absolute().parent / layout.STUDY
    if url is None and shown.startswith("sqlite:") and beside.is_file():
        named = Path(shown.partition(":///")[2])
        url = sqlite_url(beside) if named.name == layout.STUDY else None
    return url


def make_pruner(kind: Literal["median", "none"], trials: int, step: int) -> "optuna.pruners.BasePruner":
    """Create the pruner.

    Args:
        kind: `median` or `none`.
        trials: number of trials that are not pruned.
        step: number of outer steps before a trial may be pruned.
    """
    from optuna.pruners import MedianPruner, NopPruner

    if kind == "none":
        return NopPruner()
    return MedianPruner(n_startup_trials=trials, n_warmup_steps=step)
