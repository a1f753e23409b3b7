"""What earlier versions called the classes that configs name: their run directories are read from now on."""

_MOVED = {
    "metadialog.commands.train.train": "metadialog.experiment.config.TrainConfig",
    "metadialog.commands.evaluate.evaluate": "metadialog.experiment.config.EvaluateConfig",
    "metadialog.commands.predict.predict": "metadialog.experiment.config.PredictConfig",
    "metadialog.commands.data.data": "metadialog.commands.data.DataConfig",
    "metadialog.commands.table.table": "metadialog.experiment.compare.TableConfig",
    "metadialog.commands.bench.bench": "metadialog.commands.bench.BenchConfig",
}
"""Old dotted name -> the one of today."""


def current_name(name: str) -> str:
    """Return what a class that a config names in `_target_` is called today."""
    return _MOVED.get(name, name)
