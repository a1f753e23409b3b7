"""What configs of earlier versions say otherwise: their run directories are read from now on."""

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
"""Old dotted name -> the one of today."""

_ADDED: Mapping[str, Mapping[str, object]] = {
    "metadialog.algorithms.alfa.ALFA": {"initial_decay": 0.0005},
    "metadialog.algorithms.reptile.Reptile": {"minibatch": None},
}
"""Class -> the options that it has got since, with the values that come nearest to what was done before."""


def current_name(name: str) -> str:
    """Return what a class that a config names in `_target_` is called today."""
    return _MOVED.get(name, name)


def up_to_date(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config with today's names of its classes, and with the options that they have got since."""
    renewed = {name: up_to_date(value) if isinstance(value, Mapping) else value for name, value in config.items()}
    target = renewed.get("_target_")
    if not isinstance(target, str):
        return renewed
    return {**_ADDED.get(current_name(target), {}), **renewed, "_target_": current_name(target)}
