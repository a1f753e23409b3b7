"""`metadialog.compose`: from overrides, as on the command line, to an experiment."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from metadialog.composing.compose import Composed, compose_job, initialised
from metadialog.composing.earlier_run import inherit
from metadialog.errors import ConfigError
from metadialog.experiment.check import check_composed
from metadialog.experiment.experiment import Experiment
from metadialog.overrides import spelled_out

EXPERIMENTS = ("train", "evaluate")
"""The commands that an experiment is composed for."""


def compose(
    command: Literal["train", "evaluate"], overrides: Sequence[str] = (), config_dir: str | Path | None = None
) -> Experiment:
    """Compose and check an experiment, as the command line does; nothing is started, and nothing written.

    Args:
        command: `train` or `evaluate`.
        overrides: as on the command line, such as `["algorithm=maml", "seed=1"]`.
        config_dir: a folder of further configs; None for that of the run which `resume=` or `run=` names, if any.

    Raises:
        ConfigError: with one line for each wrong option or value.
        DataError: a data file that is named is not there.
        RunError: a run that is named is not what it has to be.
    """
    if command not in EXPERIMENTS:
        raise ConfigError(f"compose({command!r}): no such experiment; valid: {', '.join(EXPERIMENTS)}")
    inherited = inherit(command, spelled_out(overrides))
    folder = inherited.remembered_config_dir() if config_dir is None else str(config_dir)
    with initialised(command, folder):
        composed = Composed(compose_job(command, inherited.overrides, with_hydra=True))
        if not composed.is_single():
            raise ConfigError(
                "hydra.mode=MULTIRUN: describes a sweep; start it on the command line, as metadialog train"
            )
        check_composed(composed)
    return Experiment(composed)
