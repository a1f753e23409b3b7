"""Checks of a valid config against the machine and earlier runs, made before anything slow starts."""

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metadialog.composing.compose import Composed
from metadialog.composing.earlier_run import AUTO, PATHS
from metadialog.config import build, check, complete
from metadialog.datasets.local import expand
from metadialog.errors import ConfigError, DataError
from metadialog.trust import resolve

if TYPE_CHECKING:  # slow to import
    import torch
    from torch import nn


def check_composed(composed: Composed, *, multirun: bool = False) -> None:
    """Check a composed config, also against the machine and earlier runs.

    Raises:
        MetadialogError: something in it is wrong.
    """
    if composed.config.hydra.job.chdir:
        raise ConfigError(
            "hydra.job.chdir=true: relative paths in the config would mean something else in the run; "
            "leave it out, as a run writes into its own directory anyway"
        )
    nodes = composed.resolve()
    check(nodes)
    check_surroundings(nodes, multirun=multirun)


def check_surroundings(config: Mapping[str, Any], *, multirun: bool = False) -> None:
    """Check that the files, runs and devices that a config names exist, and that its parts are compatible.

    Args:
        config: resolved, and checked by `metadialog.config.check`.
        multirun: whether it is one of several runs started together.

    Raises:
        ConfigError: options contradict each other, or the device does not exist.
        DataError: a data file does not exist.
        RunError: a run does not exist or is unsuitable.
    """
    if "training" in config and not build(config["split"]).trains:
        raise ConfigError("split: leaves no topic to train on; choose split=seeded, split=explicit or split=paper")
    if "dataset" in config:
        _check_data(config["dataset"], config)
    if "specification" in config:
        _need_file(config["specification"], "specification", "file")
    if not computes(config):
        return
    # This imports torch, which describing data does not need.
    from metadialog.experiment.hardware import check_dtype, find_device

    device = find_device(config["device"])
    check_dtype(device, config.get("dtype", "float32"))
    if {"algorithm", "engine", "inner", "objective"} <= config.keys():
        _check_learning(config, device)
    if config.get("resume") not in (None, AUTO):
        if multirun:
            raise ConfigError(f"resume={config['resume']}: only one run can be resumed at a time; leave out -m")
        _check_resume(config)
    if "training" in config and config["start"].get("run") is not None:
        _check_source(config["start"]["run"])
    if config.get("run") is not None and "inner" in config:  # otherwise an exported model is enough
        _check_source(config["run"])


def _check_source(named: str) -> None:
    """Check the run whose model is to be used."""
    from metadialog.runs.run_directory import RunDirectory
    from metadialog.training.export import check_exported

    run = RunDirectory(Path(named).expanduser())
    run.check_finished()
    check_exported(run.model)


def computes(config: Mapping[str, Any]) -> bool:
    """Tell whether a command computes and writes results, rather than only describing data."""
    return "device" in config


def _check_resume(config: Mapping[str, Any]) -> None:
    """Check that the run to resume is the one that the config describes."""
    from metadialog.runs.config_file import read_working_directory
    from metadialog.runs.run_directory import RunDirectory
    from metadialog.runs.scalars_file import check_reaches
    from metadialog.training.checkpoint import latest_checkpoint
    from metadialog.training.resume import check_same_run, check_steps

    run = RunDirectory(Path(config["resume"]).expanduser())
    run.check_resumable()
    checkpoint = latest_checkpoint(run.last, run.best)
    if os.path.lexists(run.config):  # otherwise the run broke off before it wrote a config that could differ
        began_in = read_working_directory(run.path) or Path.cwd()
        check_same_run(_located(complete(run.read_config()), began_in), _located(config, Path.cwd()), checkpoint)
    if checkpoint is not None:
        check_steps(checkpoint, config)
        length = run.scalars.stat().st_size if run.scalars.exists() else 0
        check_reaches(run.scalars, length, checkpoint["metrics_position"])


def _located(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a config with the existing files and folders in it as absolute paths."""
    result = copy.deepcopy(dict(config))
    for option in PATHS:
        *groups, name = option.split(".")
        node = result
        for group in groups:
            node = node.get(group) or {}
        value = node.get(name)
        if isinstance(value, str) and (path := folder / Path(value).expanduser()).exists():
            node[name] = str(path.resolve())
    return result


def _check_learning(config: Mapping[str, Any], device: "torch.device") -> None:
    """Check that parts are compatible, with a model without weights and an untrained tokenizer."""
    import torch

    from metadialog.algorithms.prepare import prepared_model
    from metadialog.experiment.bare import WithoutInitialisation
    from metadialog.experiment.config import LearningConfig
    from metadialog.experiment.learner import make_learner
    from metadialog.tokenizers.byte_pair import BytePairTokenizer
    from metadialog.tokenizers.tokenizer import MIN_VOCAB_SIZE

    learner = make_learner(LearningConfig.of(config), BytePairTokenizer(vocab_size=MIN_VOCAB_SIZE).train([]))
    if "model" not in config:
        return
    embedding = build(config["embedding"])
    if embedding.replaces and learner.start.run is not None:
        raise ConfigError("embedding=pretrained: start=run uses the embedding of that run; choose one of them")
    algorithm, vocab_size = learner.algorithm, learner.tokenizer.vocab_size
    with torch.device("meta"), WithoutInitialisation():
        model = prepared_model(config["model"], vocab_size, algorithm, config["training"]["frozen"], embedding.check)
        algorithm.check(model)
    _check_memory(model, trains=algorithm.trains, device=device)


def _check_memory(model: "nn.Module", *, trains: bool, device: "torch.device") -> None:
    """Refuse a model whose weights alone take more memory than is free, not counting activations.

    Raises:
        ConfigError: the model is too large.
    """
    from metadialog.memory import free

    there = free(device)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad and trains]
    # Trained weights also have a gradient, and a copy that is adapted to a task.
    needed = sum(p.numel() * p.element_size() for p in [*model.parameters(), *trained, *trained])
    if there is not None and needed > there:
        count = sum(parameter.numel() for parameter in model.parameters())
        also = ", their gradients and an adapted copy" if trained else ""
        raise ConfigError(
            f"model: has {count:,} weights; they{also} take {needed / 2**30:,.1f} GiB, and {there / 2**30:,.1f} GiB "
            f"are free on device={device}; choose smaller sizes"
        )


def _check_data(dataset: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Check that the file or folder of a data set exists."""
    if config.get("download"):
        return
    if dataset.get("root", "") is None:
        from metadialog.cache.entries import cache_directory
        from metadialog.downloads.copies import downloaded

        downloaded(build(dataset).source, cache_directory(config["cache"]))
    local = getattr(resolve(dataset["_target_"], "dataset"), "local_options", ("path", "root"))
    for option, kind in (("path", "file"), ("root", "folder or zip file")):
        if option in local and dataset.get(option) is not None:
            _need_file(dataset[option], f"dataset.{option}", kind)


def _need_file(named: str, option: str, kind: str) -> None:
    """Refuse a path that does not exist."""
    path = expand(named, option)
    if kind == "file" and option == "dataset.path" and path.is_dir():
        raise DataError(f"{path}: is a folder; {option} should name a file; dataset=auto reads folders as well")
    if not (path.is_file() if kind == "file" else path.exists()):
        raise DataError(f"{path}: cannot be read: there is no such {kind}; {option} should name one")
