"""What is checked before Hydra makes a directory or starts anything.

The config that Hydra is about to run is composed and checked here first (every job's, in a sweep), and so are
the directories that it names: a wrong name or value is found while nothing has happened yet.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from hydra import initialize_config_module
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra

from metadialog.cli.output_directories import check_output
from metadialog.cli.resume_auto import AUTO
from metadialog.cli.sweep_options import check_launchers, check_storage, name_sweep, plan_sweep
from metadialog.composing.multirun import jobs_to_check, resolve_job
from metadialog.config import build, check
from metadialog.datasets.local import expand
from metadialog.errors import ConfigError, DataError


def preflight(command: str, arguments: list[str]) -> list[str]:
    """Compose and check what Hydra is about to run, and run nothing.

    Returns:
        The arguments; those of a sweep with its name.

    Raises:
        ConfigError: with one line for each mistake.
        DataError: a data file that is named is not there.
        RunError: a directory that is named is not what it has to be.
    """
    options = get_args_parser().parse_args(arguments)
    if options.help or options.hydra_help or options.shell_completion or options.info:
        return arguments
    config_name = options.config_name or command
    GlobalHydra.instance().clear()
    with initialize_config_module("metadialog.conf", version_base="1.3", job_name=command):
        if options.config_dir:
            add_config_dir(options.config_dir)
        check_launchers(options.overrides)
        plan = None if options.cfg else plan_sweep(config_name, options.overrides, multirun=options.multirun)
        jobs = plan.corners() if plan else jobs_to_check(options.overrides, config_name, multirun=options.multirun)
        for overrides in jobs:
            config = resolve_job(config_name, overrides, multirun=options.multirun)
            if not options.cfg:
                check(config)
                _check_surroundings(config, multirun=options.multirun)
        overrides = name_sweep(config_name, options.overrides, plan) if plan else options.overrides
        if not options.cfg and _computes(config):
            check_output(config_name, overrides, multirun=options.multirun)
        if plan:
            check_storage(config_name, overrides)
    # Beside what is there: a flag between overrides is one that Hydra's parser stumbles over.
    first = arguments.index(options.overrides[0]) if options.overrides else len(arguments)
    return [*arguments[:first], *overrides[len(options.overrides) :], *arguments[first:]]


def _check_surroundings(config: Mapping[str, Any], *, multirun: bool) -> None:
    """Check what a valid config says of the machine and of earlier runs."""
    if "training" in config and not build(config["split"]).trains:
        raise ConfigError("split: leaves no topic to train on; choose split=seeded, split=explicit or split=paper")
    if "dataset" in config:
        _check_data(config["dataset"], config)
    if "specification" in config:
        _need_file(config["specification"], "specification", "file")
    if not _computes(config):
        return
    # These import torch, which the description of data need not wait for.
    from metadialog.experiment.session import find_device
    from metadialog.runs.run_directory import RunDirectory
    from metadialog.training.checkpoint import latest_checkpoint
    from metadialog.training.resume import check_same_run, check_steps

    find_device(config["device"])
    if {"algorithm", "engine", "inner", "objective"} <= config.keys():
        _check_learning(config)
    if config.get("resume") not in (None, AUTO):
        if multirun:
            raise ConfigError(f"resume={config['resume']}: one run goes on at a time; leave out -m")
        run = RunDirectory(Path(config["resume"]).expanduser())
        if run.config.exists():  # else the run broke off before it wrote one, and has nothing to contradict
            check_same_run(run.read_config(), config)
        checkpoint = latest_checkpoint(run.last, run.best)
        if checkpoint is not None:
            check_steps(checkpoint, config)
    if "training" in config and config["start"].get("run") is not None:
        RunDirectory(Path(config["start"]["run"]).expanduser()).check_finished()
    if config.get("run") is not None:
        RunDirectory(Path(config["run"]).expanduser()).check_finished()


def _check_learning(config: Mapping[str, Any]) -> None:
    """Check what goes with what: a model without numbers, and a tokenizer that knows nothing, are enough for that."""
    import torch

    from metadialog.experiment.session import make_algorithm, making_a_model
    from metadialog.models.parts import freeze
    from metadialog.tokenizers.byte_pair import BytePairTokenizer
    from metadialog.tokenizers.tokenizer import MIN_VOCAB_SIZE

    tokenizer = BytePairTokenizer(vocab_size=MIN_VOCAB_SIZE).train([])
    algorithm = make_algorithm(config, tokenizer)
    if "model" in config:
        with torch.device("meta"), making_a_model():
            model = build(config["model"], tokenizer.vocab_size)
            embedding = build(config["embedding"])
            if embedding.replaces and config["start"].get("run") is not None:
                raise ConfigError(
                    "embedding=pretrained: start=run brings the embedding of that run; choose one of them"
                )
            embedding.check(model)
            freeze(model, config["training"]["frozen"], "training.frozen")
            algorithm.check(algorithm.prepare(model))


def _computes(config: Mapping[str, Any]) -> bool:
    """Say whether a command computes something and writes it down, or only describes data."""
    return "device" in config


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


def add_config_dir(folder: str) -> None:
    """Let an initialised Hydra find configs in a folder too, before its own.

    Raises:
        ConfigError: there is no such folder.
    """
    if not Path(folder).is_dir():
        raise ConfigError(f"--config-dir {folder}: there is no such directory")
    loader = cast("ConfigLoaderImpl", GlobalHydra.instance().config_loader())
    search_path = loader.get_search_path()
    search_path.prepend(provider="command-line", path=f"file://{Path(folder).resolve()}")
    loader.repository.initialize_sources(search_path)  # it looked for them once, before this one was named
