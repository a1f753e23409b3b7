"""`metadialog.compose`: create an experiment from overrides, as on the command line."""

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
"""Commands that have experiments."""


def compose(
    command: Literal["train", "evaluate"], overrides: Sequence[str] = (), config_dir: str | Path | None = None
) -> Experiment:
    """Compose and check an experiment, as the command line does; nothing is run or written.

    Args:
        command: `train` or `evaluate`.
        overrides: as on the command line, such as `["algorithm=maml", "seed=1"]`.
        config_dir: folder of additional configs; None for that of the run in `resume=` or `run=`, if any.

    Raises:
        ConfigError: with one line for each wrong option or value.
        DataError: a data file does not exist.
        RunError: a run does not exist or is unsuitable.
    """
    if command not in EXPERIMENTS:
        raise ConfigError(f"compose({command!r}): no such experiment; valid: {', '.join(EXPERIMENTS)}")
    inherited = inherit(command, spelled_out(overrides))
    folder = inherited.remembered_config_dir() if config_dir is None else str(config_dir)
    with initialised(command, folder):
        composed = Composed(compose_job(command, inherited.overrides, with_hydra=True))
        if not composed.is_single():
            raise ConfigError(
                "hydra.mode=MULTIRUN: describes a sweep; start it on the command line with metadialog train"
            )
        check_composed(composed)
    return Experiment(composed)
