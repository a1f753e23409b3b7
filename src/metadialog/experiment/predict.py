"""Predictions of a finished run for a test specification of DSTC8's fast adaptation task."""

from pathlib import Path

from rich.console import Console

from metadialog.cache.directory import cache_directory
from metadialog.config import build
from metadialog.datasets.dialogue import Dataset
from metadialog.datasets.local import expand
from metadialog.datasets.specification import read_specification, requested_dialogues, write_predictions
from metadialog.evaluation.prediction import predict_response
from metadialog.evaluation.selection import NOTHING, read_selection
from metadialog.experiment.config import PredictConfig
from metadialog.experiment.hardware import find_device
from metadialog.experiment.learner import make_learner
from metadialog.preparation.topics import located
from metadialog.progress import progress
from metadialog.runs import layout
from metadialog.runs.reading import is_there
from metadialog.runs.run_directory import RunDirectory
from metadialog.samplers.exchanges import ExchangeEncoder
from metadialog.training.export import load_exported, load_tokenizer


def predict(config: PredictConfig, directory: Path, console: Console) -> Path:
    """Predict each turn that a specification asks for, and write the predictions in the competition's format.

    For every prediction, the run's model is adapted anew to the support dialogues, and is given the dialogue up to the
    turn before.

    Args:
        config: the run and the specification.
        directory: directory to write to.
        console: console to print to.

    Returns:
        The file of the predictions.

    Raises:
        RunError: the run's model cannot be read.
        DataError: the specification is malformed, or does not fit the data set.
    """
    run = RunDirectory(Path(config.run).expanduser())
    tokenizer = load_tokenizer(run.model)
    learner = make_learner(config, tokenizer)
    model = load_exported(run.model, learner.algorithm, tokenizer, find_device(config.device))
    source: Dataset = build(located(config.dataset, cache_directory(config.cache)))
    requests = read_specification(expand(config.specification, "specification"), requested_dialogues(source))
    sampler = config.sampler
    encoder = ExchangeEncoder(tokenizer, sampler["context_turns"], sampler["max_tokens"], sampler["loss_on"])
    generate = build(config.generation)
    selection = read_selection(run.selection) if is_there(run.selection) else NOTHING
    responses = []
    with progress(console, "prediction", len(requests)) as report:
        for request in requests:
            responses.append(
                predict_response(model, learner.algorithm, request, encoder, generate, tokenizer, selection)
            )
            report(len(responses))
    path = directory / layout.PREDICTIONS
    path.parent.mkdir(parents=True, exist_ok=True)
    write_predictions(path, requests, responses)
    return path
