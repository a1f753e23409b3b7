"""What a valid config says of the machine and of earlier runs, checked before anything slow starts."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metadialog.composing.earlier_run import AUTO
from metadialog.config import build
from metadialog.datasets.local import expand
from metadialog.errors import ConfigError, DataError


def check_surroundings(config: Mapping[str, Any], *, multirun: bool = False) -> None:
    """Check that what a config names is there, and that its parts go together.

    Args:
        config: resolved, and checked by `metadialog.config.check`.
        multirun: whether it is one of several that are started together.

    Raises:
        ConfigError: options contradict each other, or there is no such device.
        DataError: a data file that is named is not there.
        RunError: a run that is named is not what it has to be.
    """
    if "training" in config and not build(config["split"]).trains:
        raise ConfigError("split: leaves no topic to train on; choose split=seeded, split=explicit or split=paper")
    if "dataset" in config:
        _check_data(config["dataset"], config)
    if "specification" in config:
        _need_file(config["specification"], "specification", "file")
    if not computes(config):
        return
    # This imports torch, which the description of data need not wait for.
    from metadialog.experiment.hardware import find_device
    from metadialog.runs.run_directory import RunDirectory

    find_device(config["device"])
    if {"algorithm", "engine", "inner", "objective"} <= config.keys():
        _check_learning(config)
    if config.get("resume") not in (None, AUTO):
        if multirun:
            raise ConfigError(f"resume={config['resume']}: one run goes on at a time; leave out -m")
        _check_resume(config)
    if "training" in config and config["start"].get("run") is not None:
        RunDirectory(Path(config["start"]["run"]).expanduser()).check_finished()
    if config.get("run") is not None:
        RunDirectory(Path(config["run"]).expanduser()).check_finished()


def computes(config: Mapping[str, Any]) -> bool:
    """Say whether a command computes something and writes it down, or only describes data."""
    return "device" in config


def _check_resume(config: Mapping[str, Any]) -> None:
    """Check that the run that goes on is the one that the config describes."""
    from metadialog.runs.run_directory import RunDirectory
    from metadialog.training.checkpoint import latest_checkpoint
    from metadialog.training.resume import check_same_run, check_steps

    run = RunDirectory(Path(config["resume"]).expanduser())
    run.check_resumable()
    checkpoint = latest_checkpoint(run.last, run.best)
    if os.path.lexists(run.config):  # else the run broke off before it wrote one, and has nothing to contradict
        check_same_run(run.read_config(), config, checkpoint)
    if checkpoint is not None:
        check_steps(checkpoint, config)


def _check_learning(config: Mapping[str, Any]) -> None:
    """Check what goes with what: a model without numbers, and a tokenizer that knows nothing, are enough for that."""
    import torch

    from metadialog.algorithms.prepare import prepared_model
    from metadialog.experiment.config import LearningConfig
    from metadialog.experiment.learner import make_learner
    from metadialog.tokenizers.byte_pair import BytePairTokenizer
    from metadialog.tokenizers.tokenizer import MIN_VOCAB_SIZE

    learner = make_learner(LearningConfig.of(config), BytePairTokenizer(vocab_size=MIN_VOCAB_SIZE).train([]))
    if "model" not in config:
        return
    embedding = build(config["embedding"])
    if embedding.replaces and learner.start.run is not None:
        raise ConfigError("embedding=pretrained: start=run brings the embedding of that run; choose one of them")
    algorithm, vocab_size = learner.algorithm, learner.tokenizer.vocab_size
    with torch.device("meta"):
        model = prepared_model(config["model"], vocab_size, algorithm, config["training"]["frozen"], embedding.check)
        algorithm.check(model)


def _check_data(dataset: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Check that the file or folder of a data set is there; one of a hub need not be a file."""
    if dataset["_target_"].startswith("metadialog.datasets.huggingface.") or config.get("download"):
        return
    if dataset.get("root", "") is None:
        from metadialog.cache.place import cache_directory
        from metadialog.downloads.copies import downloaded

        downloaded(build(dataset).source, cache_directory(config["cache"]))
    for option, kind in (("path", "file"), ("root", "folder or zip file")):
        if dataset.get(option) is not None:
            _need_file(dataset[option], f"dataset.{option}", kind)


def _need_file(named: str, option: str, kind: str) -> None:
    """Refuse a path that an option names and that is not there."""
    path = expand(named, option)
    if not (path.is_file() if kind == "file" else path.exists()):
        raise DataError(f"{path}: cannot be read: there is no such {kind}; {option} should name one")
