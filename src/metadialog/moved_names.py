"""Renamed classes and new options, so that configs of earlier versions stay readable."""

from collections.abc import Mapping
from typing import Any

_MOVED = {
    "metadialog.commands.train.train": "metadialog.experiment.config.TrainConfig",
    "metadialog.commands.evaluate.evaluate": "metadialog.experiment.config.EvaluateConfig",
    "metadialog.commands.predict.predict": "metadialog.experiment.config.PredictConfig",
    "metadialog.commands.data.data": "metadialog.commands.data.DataConfig",
    "metadialog.commands.table.table": "metadialog.experiment.compare.TableConfig",
    "metadialog.commands.bench.bench": "metadialog.commands.bench.BenchConfig",
    "metadialog.training.trainer.Trainer": "metadialog.training.options.TrainingOptions",
    "metadialog.algorithms.baselines.Retrieval": "metadialog.algorithms.retrieval.Retrieval",
}
"""Old dotted name -> current one."""

_ADDED: Mapping[str, Mapping[str, object]] = {
    "metadialog.algorithms.alfa.ALFA": {"initial_decay": 0.0005},
    "metadialog.algorithms.reptile.Reptile": {"minibatch": None},
}
"""Class -> the options added since, with the values closest to the earlier behaviour."""


def current_name(name: str) -> str:
    """Return the current name of a class in `_target_`."""
    return _MOVED.get(name, name)


def up_to_date(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config with the current names of its classes, and with options added since."""
    renewed = {name: up_to_date(value) if isinstance(value, Mapping) else value for name, value in config.items()}
    target = renewed.get("_target_")
    if not isinstance(target, str):
        return renewed
    return {**_ADDED.get(current_name(target), {}), **renewed, "_target_": current_name(target)}
