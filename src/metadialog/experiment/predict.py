"""Predictions of a finished run for a test specification of DSTC8's fast adaptation task."""

from pathlib import Path

from rich.console import Console
from torch import nn

from metadialog.algorithms.base import Algorithm
from metadialog.cache.entries import cache_directory
from metadialog.config import build
from metadialog.datasets.dialogue import Dataset
from metadialog.datasets.local import expand
from metadialog.datasets.specification import Request, read_specification, requested_dialogues, write_predictions
from metadialog.evaluation.adaptation import generate_replies
from metadialog.evaluation.scoring import evaluation_mode
from metadialog.evaluation.selection import NOTHING, Selection, read_selection
from metadialog.experiment.config import PredictConfig
from metadialog.experiment.hardware import find_device
from metadialog.experiment.learner import make_learner
from metadialog.generation.base import Generation
from metadialog.preparation.topics import located
from metadialog.progress import progress
from metadialog.runs import layout
from metadialog.runs.reading import is_there
from metadialog.runs.run_directory import RunDirectory
from metadialog.samplers.exchanges import ExchangeEncoder
from metadialog.tokenizers.tokenizer import Tokenizer
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
            responses.append(_predicted(model, learner.algorithm, request, encoder, generate, tokenizer, selection))
            report(len(responses))
    path = directory / layout.PREDICTIONS
    path.parent.mkdir(parents=True, exist_ok=True)
    write_predictions(path, requests, responses)
    return path


def _predicted(
    model: nn.Module,
    algorithm: Algorithm,
    request: Request,
    encoder: ExchangeEncoder,
    generation: Generation,
    tokenizer: Tokenizer,
    selection: Selection,
) -> str:
    """Adapt to the support dialogues of a request, and generate the requested turn.

    The inner rate and steps are those selected for the nearest number of shots, or the algorithm's own if none were
    selected. The model is not changed. Support dialogues without an exchange are ignored.
    """
    device = next(model.parameters()).device
    usable = [dialogue for dialogue in request.support if any(turn.reply for turn in dialogue.turns[1:])]
    support = encoder.batch(usable).to(device) if usable else None
    asked = encoder.exchanges([request.target])[-1]
    with evaluation_mode(model):
        chosen = selection.nearest(len(usable))
        steps, rate = (algorithm.inner_steps, 1.0) if chosen is None else (chosen.inner_step, chosen.rate)
        *_, adapted = algorithm.adapt(model, support, steps, scale=rate)
        (reply,) = generate_replies(adapted, [asked], generation, tokenizer)
    return reply
