"""Models in folders, as `AdaptableModel.save` writes and `load_model` reads them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from metadialog.algorithms.base import Algorithm, Tools
from metadialog.config import build
from metadialog.datasets.dialogue import Dialogue
from metadialog.engines.auto import AutoEngine
from metadialog.errors import RunError
from metadialog.evaluation.selection import NOTHING, Selection, read_selection
from metadialog.inference.checking import as_device, as_folder, check_whole
from metadialog.inference.compute import THREADS, computing
from metadialog.inference.dialogues import read_dialogues
from metadialog.inference.generations import ways
from metadialog.inference.model import AdaptableModel, Equipment
from metadialog.runs.atomic import write_atomically
from metadialog.runs.config_file import read_config
from metadialog.runs.layout import SELECTION, SUPPORT, WEIGHTS
from metadialog.runs.reading import unreadable
from metadialog.runs.run_directory import RunDirectory
from metadialog.samplers.exchanges import ExchangeEncoder
from metadialog.tokenizers.tokenizer import Tokenizer
from metadialog.training.export import (
    check_nodes,
    export_model,
    exported_config,
    load_exported,
    load_tokenizer,
    read_exported_config,
)
from metadialog.training.model_card import About, about_from, about_run, slug
from metadialog.trust import check_strangers


def load_model(
    folder: str | Path, *, device: str | torch.device | None = None, threads: int | None = THREADS
) -> AdaptableModel:
    """Load a trained model.

    Args:
        folder: directory of a run, or folder of an exported or saved model.
        device: device to compute on; None for the CPU.
        threads: number of CPU threads of the model; None to keep the current number.

    Raises:
        RunError: there is no model, or it is damaged.
        ConfigError: the device does not exist, or the number of threads is out of range.
    """
    given = as_folder(folder)
    target = as_device(device)
    if threads is not None:
        check_whole("threads", threads, 1)
    exported = model_folder(given)
    config = read_exported_config(exported)
    source = exported_config(exported)
    check_strangers({key: value for key, value in config.items() if isinstance(value, dict)}, source)
    check_nodes(config, ("algorithm", "inner", "objective", "generation"), source)
    with computing(threads):
        tokenizer = load_tokenizer(exported)
        algorithm = _algorithm(config, tokenizer, source)
        module = load_exported(exported, algorithm, tokenizer, target)
    sampler = config["sampler"]
    equipment = Equipment(
        algorithm=algorithm,
        tokenizer=tokenizer,
        encoder=ExchangeEncoder(tokenizer, sampler["context_turns"], sampler["max_tokens"], sampler["loss_on"]),
        generation=build(_generation(given, config)),
        selection=_selection(given, exported),
        config=config,
        about=_about(given, exported, config),
        threads=threads,
    )
    support = read_dialogues(exported / SUPPORT) if (exported / SUPPORT).exists() else []
    if "adaptation" not in config:
        return AdaptableModel(module, equipment, support=support)
    base = AdaptableModel(module, replace(equipment, about=replace(equipment.about, adapted_to=None)))
    if not support:
        raise RunError(f"{exported / SUPPORT}: there is no such file; it should hold what the model was adapted to")
    adapted = base.adapt(support, config["adaptation"]["steps"], rate=float(config["adaptation"]["rate"]))
    return AdaptableModel(adapted.module, equipment, base, support, adapted.curve, adapted.step, adapted.rate)


def model_folder(folder: Path) -> Path:
    """Return the folder of the exported model: that of a run, or the folder itself.

    Raises:
        RunError: there is none.
    """
    if not folder.is_dir():
        raise RunError(f"{folder}: there is no such folder; it should be the directory of a run or an exported model")
    of_run = RunDirectory(folder).model
    for candidate in (of_run, folder):
        if (candidate / WEIGHTS).exists():
            return candidate
    if RunDirectory(folder).status.exists():
        raise RunError(f"{folder}: the run has no exported model yet; it should have finished")
    raise RunError(f"{folder}: holds no model; it should be the directory of a run or an exported model")


def save_model(model: AdaptableModel, folder: Path, name: str | None = None) -> None:
    """Write a model to a folder; see `AdaptableModel.save`."""
    _check_room(folder)
    equipment = model.equipment
    about = equipment.about
    if name is None and about.adapted_to is not None:  # it differs from its parent
        name = folder.resolve().name
    if name is not None:
        about = replace(about, name=slug(name))
    config, base = dict(equipment.config), model
    replayed = _is_extended(model)
    if replayed and model.parent is not None:
        if model.parent.parent is not None and _is_extended(model.parent):
            raise RunError(f"{folder}: a model that {about.algorithm} has adapted twice cannot be written")
        base = model.parent
        config["adaptation"] = {"steps": model.step, "rate": model.rate}
    export_model(folder, base.module, equipment.algorithm, equipment.tokenizer, config, about)
    if equipment.selection.grid:
        write_atomically(folder / SELECTION, equipment.selection.to_json(equipment.algorithm.name))
    if equipment.algorithm.retriever() is not None or replayed:  # its replies are taken from them
        write_atomically(folder / SUPPORT, to_jsonl(model.support))


def _check_room(folder: Path) -> None:
    """Check that a folder is new or empty, or has a model, which is replaced.

    Raises:
        RunError: it is a file, or a folder with other files.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"folder={folder}: is a file; name a new or an empty folder")
    if folder.is_dir() and not (folder / WEIGHTS).exists() and any(folder.iterdir()):
        raise RunError(f"folder={folder}: holds other files; name a new or an empty folder, or that of a saved model")


def _is_extended(model: AdaptableModel) -> bool:
    """Tell whether adaptation has changed the structure of the model, such as by a prompt."""
    parent = model.parent
    return parent is not None and set(model.module.state_dict()) != set(parent.module.state_dict())


def to_jsonl(dialogues: Sequence[Dialogue]) -> str:
    """Return dialogues as JSON Lines, as `dataset=jsonl` reads them."""
    lines = ({"topic": one.topic, "id": one.id, "turns": [asdict(turn) for turn in one.turns]} for one in dialogues)
    return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)


def _algorithm(config: Mapping[str, Any], tokenizer: Tokenizer, path: Path) -> Algorithm:
    # All engines adapt in the same way; they differ in the meta-gradient, which is not needed here.
    engine = AutoEngine(memory=1024)
    objective = config["objective"]
    try:
        tools = Tools(engine, build(config["inner"]), build(objective, tokenizer))
        algorithm: Algorithm = build(config["algorithm"], tools)
    except TypeError as error:  # an unknown option, or one of another type
        raise unreadable(path, "config of a model", str(error)) from error
    return algorithm


def _about(given: Path, exported: Path, config: Mapping[str, Any]) -> About:
    if "about" in config:
        return about_from(config["about"], exported_config(exported))
    of_run = RunDirectory(given).config
    if not of_run.exists():
        return about_run(config)
    whole = read_config(of_run)
    check_strangers(whole, of_run)
    return about_run(whole)


def _generation(given: Path, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the config node of the generation: that of the exported model, of the run, or greedy."""
    if "generation" in config:
        return dict(config["generation"])
    of_run = RunDirectory(given).config
    if of_run.exists():
        node = dict(read_config(of_run).get("generation", ways()["greedy"]))
        check_strangers({"generation": node}, of_run)
        return node
    return ways()["greedy"]


def _selection(given: Path, exported: Path) -> Selection:
    for file in (exported / SELECTION, RunDirectory(given).selection):
        if file.exists():
            try:
                return read_selection(file)
            except (OSError, ValueError, LookupError, TypeError) as error:
                raise RunError(f"{file}: damaged: {' '.join(str(error).split())}") from error
    return NOTHING
