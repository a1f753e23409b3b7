"""`metadialog predict run=DIR specification=FILE`: answer a test specification of DSTC8's fast adaptation task."""

from pathlib import Path
from typing import Annotated, Any

from annotated_types import MinLen
from hydra.core.hydra_config import HydraConfig

from metadialog.cache.place import cache_directory
from metadialog.config import build
from metadialog.console import make_console
from metadialog.datasets.dialogue import Dataset
from metadialog.datasets.local import expand
from metadialog.datasets.specification import read_specification, requested_dialogues, write_predictions
from metadialog.evaluation.prediction import predict_response
from metadialog.evaluation.selection import NOTHING, read_selection
from metadialog.experiment.session import Device, find_device, make_algorithm
from metadialog.preparation.topics import located
from metadialog.progress import progress
from metadialog.runs import layout
from metadialog.runs.run_directory import RunDirectory
from metadialog.samplers.exchanges import ExchangeEncoder
from metadialog.training.export import load_exported, load_tokenizer

Node = dict[str, Any]


def predict(
    *,
    run: Annotated[str, MinLen(1)],
    specification: Annotated[str, MinLen(1)],
    dataset: Node,
    sampler: Node,
    algorithm: Node,
    start: Node,
    inner: Node,
    objective: Node,
    engine: Node,
    generation: Node,
    cache: str | None,
    device: Device,
) -> None:
    """Predict each turn that a specification asks for; write them in the competition's format.

    Every prediction starts from the run's model anew, is adapted to its support dialogues by the algorithm's own
    number of inner steps, and sees the dialogue up to the turn before.

    Args:
        run: the directory of the finished run.
        specification: path of the test specification.
        dataset: config node of the data set that holds its dialogues.
        sampler: config node of the sampler, for how exchanges are made.
        algorithm: config node of the algorithm.
        start: config node of what the outer loop starts from.
        inner: config node of the inner loop's update rule.
        objective: config node of what the two levels minimise.
        engine: config node of the engine.
        generation: config node of the generation of replies.
        cache: the folder that downloads are kept in.
        device: to compute on.

    Raises:
        RunError: the run's model cannot be read.
        DataError: the specification is malformed, or does not fit the data set.
    """
    config = dict(locals())
    console = make_console()
    where = find_device(device)
    source_run = RunDirectory(Path(run).expanduser())
    exported = source_run.model
    tokenizer = load_tokenizer(exported)
    learner = make_algorithm(config, tokenizer)
    model = load_exported(exported, learner, tokenizer, where)
    source: Dataset = build(located(dataset, cache_directory(cache)))
    requests = read_specification(expand(specification, "specification"), requested_dialogues(source))
    encoder = ExchangeEncoder(tokenizer, sampler["context_turns"], sampler["max_tokens"], sampler["loss_on"])
    generate = build(generation)
    selection = read_selection(source_run.selection) if source_run.selection.exists() else NOTHING
    responses = []
    with progress(console, "prediction", len(requests)) as report:
        for request in requests:
            responses.append(predict_response(model, learner, request, encoder, generate, tokenizer, selection))
            report(len(responses))
    path = Path(HydraConfig.get().runtime.output_dir) / layout.PREDICTIONS
    path.parent.mkdir(parents=True, exist_ok=True)
    write_predictions(path, requests, responses)
    console.print(f"predictions: {path}", soft_wrap=True, highlight=False, markup=False)
