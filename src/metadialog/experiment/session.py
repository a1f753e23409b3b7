"""What the commands that compute have in common: device, seeds, console, and the final evaluation."""

import itertools
import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import torch
from annotated_types import Ge, Le, Lt
from rich.console import Console
from torch import nn

from metadialog.algorithms.base import Algorithm, Tools
from metadialog.algorithms.warm import WarmStarted
from metadialog.config import build
from metadialog.episodes import Episode
from metadialog.errors import ConfigError
from metadialog.evaluation.adaptation import Labels, Sample, evaluate
from metadialog.evaluation.protocol import AdaptationProtocol
from metadialog.evaluation.records import Record, record_metadata, to_frame
from metadialog.evaluation.selection import NOTHING, Selection, select
from metadialog.evaluation.summary import summarize
from metadialog.progress import progress
from metadialog.runs.atomic import write_atomically
from metadialog.runs.run_directory import RunDirectory
from metadialog.starts.start import Start
from metadialog.tokenizers.tokenizer import Tokenizer
from metadialog.training.cost import Cost, count_tokens
from metadialog.training.distributed import ALONE, Ranks
from metadialog.training.trainer import Sinks

Device = Literal["auto", "cpu", "cuda"]
Seed = Annotated[int, Ge(0), Lt(2**32)]
"""As numpy takes it."""
Threads = Annotated[int, Ge(1), Le(1024)]


def seed_everything(seed: int) -> None:
    """Seed every global generator, for whatever draws from one."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries draw from this one
    torch.manual_seed(seed)


def use_threads(threads: int | None) -> None:
    """Compute with this many CPU threads; None leaves it to torch: one a core."""
    if threads is not None:
        torch.set_num_threads(threads)


def find_device(device: Device, local_rank: int = 0) -> torch.device:
    """Return the device to compute on.

    Args:
        device: what was asked for.
        local_rank: number of the process among those on this machine, each of which takes a GPU of its own.

    Raises:
        ConfigError: there is no GPU, and one was asked for.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device=cuda: torch finds no CUDA device here; use device=cpu or device=auto")
    if device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    # Where a launcher shows each process its own GPU alone, that is number 0 for each.
    found = torch.device("cuda", local_rank % torch.cuda.device_count())
    torch.cuda.set_device(found)
    return found


def make_algorithm(config: Mapping[str, Any], tokenizer: Tokenizer) -> Algorithm:
    """Make the algorithm that a config describes, with its engine, inner rule and objectives."""
    tools = Tools(build(config["engine"]), build(config["inner"]), build(config["objective"], tokenizer))
    algorithm: Algorithm = build(config["algorithm"], tools)
    start: Start = build(config["start"])
    return WarmStarted(algorithm, start.steps) if start.steps else algorithm


@contextmanager
def making_a_model() -> Iterator[None]:
    """Say in one line that a model cannot be made.

    Raises:
        ConfigError: it is larger than the memory.
    """
    try:
        yield
    except (RuntimeError, MemoryError, OverflowError) as error:
        raise ConfigError(f"model: cannot be made: {' '.join(str(error).split())}; choose smaller sizes") from error


def row_name(config: Mapping[str, Any]) -> str:
    """Return how records and tables call what a config describes: the algorithm, and what it started from."""
    start: Start = build(config["start"])
    return f"{config['algorithm']['name']}{start.suffix}"


def evaluate_and_report(
    model: nn.Module,
    algorithm: Algorithm,
    episodes: Sequence[Episode],
    protocol: AdaptationProtocol,
    generation: Mapping[str, Any],
    tokenizer: Tokenizer,
    labels: Labels,
    sinks: Sinks,
    step: int,
    console: Console,
    team: Ranks = ALONE,
    *,
    selected_on: Sequence[Episode] = (),
    trained: Cost | None = None,
) -> pd.DataFrame:
    """Choose inner rates and steps; evaluate on held-out episodes; write, log and print what comes of it.

    Args:
        model: as the outer loop left it.
        algorithm: adapts it.
        episodes: of the held-out topics.
        protocol: what is asked.
        generation: config node of the generation of replies.
        tokenizer: ids to text.
        labels: of the records.
        sinks: where results go.
        step: outer steps that were taken.
        console: where tables go.
        team: the processes that share the episodes; the first of them writes.
        selected_on: episodes of the meta-validation topics, to choose on; none: nothing is chosen.
        trained: what training has cost.

    Returns:
        The records.
    """
    device = next(model.parameters()).device
    began = time.perf_counter()
    on_device = [episode.to(device) for episode in selected_on]
    selection = _choose(model, algorithm, on_device, protocol, sinks, console, team)
    on_device = [episode.to(device) for episode in episodes]
    with progress(console, "evaluation", len(on_device)) as report:
        done = itertools.count(team.size, team.size)  # the others are about as far

        def of_episode(episode: Episode) -> tuple[list[Record], list[Sample]]:
            found = evaluate(model, algorithm, [episode], protocol, build(generation), tokenizer, labels, selection)
            report(min(next(done), len(on_device)))
            return found

        parts = team.map(of_episode, on_device)
    samples = [sample for _, part in parts for sample in part]
    frame = to_frame([record for part, _ in parts for record in part])
    if not team.is_first:
        return frame
    console.print(summarize(frame, samples, protocol.report_steps, labels.language))
    sinks.run.write_results(frame, record_metadata(episodes, labels.language), list(map(asdict, samples)))
    spent = _tokens(algorithm, selection, protocol, frame, selected_on, episodes)
    _write_cost(sinks, trained, len(episodes), spent, time.perf_counter() - began)
    sinks.log(step, "meta_test", _mean_losses(frame))
    sinks.logger.log_adaptation(frame)
    sinks.logger.log_samples([_logged(sample) for sample in samples])
    return frame


def _choose(
    model: nn.Module,
    algorithm: Algorithm,
    episodes: Sequence[Episode],
    protocol: AdaptationProtocol,
    sinks: Sinks,
    console: Console,
    team: Ranks,
) -> Selection:
    """Choose the inner rate and steps for each number of shots, if that is asked for; write and print the choice."""
    if protocol.rates is None or not episodes:
        return NOTHING
    selection = select(model, algorithm, episodes, protocol.rates, protocol.steps, team.map)
    if not team.is_first:
        return selection
    write_atomically(sinks.run.selection, selection.to_json(algorithm.name))
    chosen = [best for shots in protocol.shots if (best := selection.best(shots)) is not None]
    words = (f"{c.shots} shots: rate x {c.rate:g}, {c.inner_step} steps (loss {c.loss:.3f})" for c in chosen)
    console.print(f"chosen on meta-validation topics: {'; '.join(words)}", highlight=False)
    return selection


def _tokens(
    algorithm: Algorithm,
    selection: Selection,
    protocol: AdaptationProtocol,
    records: pd.DataFrame,
    selected_on: Sequence[Episode],
    episodes: Sequence[Episode],
) -> int:
    """Count the tokens that were adapted to: once for each inner step, and for each rate of the grid of choice."""
    steps = records.groupby("shots")["inner_step"].max().to_dict()  # none where nothing adapts

    def of(some: Sequence[Episode]) -> int:
        supports = ((steps[one.shots], algorithm.adapts_to(one)) for one in some)
        return sum(count * count_tokens(support) for count, support in supports if count and support is not None)

    return of(episodes) + (len(protocol.rates or []) * of(selected_on) if selection.grid else 0)


def _write_cost(sinks: Sinks, trained: Cost | None, episodes: int, tokens: int, seconds: float) -> None:
    """Write what training and this evaluation, with the choice before it, took."""
    content = {
        "meta_train": None if trained is None else trained.to_dict(),
        "evaluation": {"episodes": episodes, "tokens": tokens, "seconds": seconds},
    }
    write_atomically(sinks.run.cost, json.dumps(content, indent=2) + "\n")


def print_cut(console: Console, episodes: Sequence[Episode], tokenizer: Tokenizer, max_tokens: int) -> None:
    """Say how many references are too long to be scored whole, if any is."""
    queries = {(episode.topic, episode.index): episode.query for episode in episodes}.values()
    references = sum(len(query.targets) for query in queries)
    whole = sum(int((query.targets == tokenizer.end_id).any(dim=1).sum()) for query in queries)
    if whole < references:
        console.print(
            f"{references - whole} of {references} references are cut to evaluation.max_tokens={max_tokens}",
            highlight=False,
        )


def print_directory(console: Console, run: RunDirectory) -> None:
    """Say where everything is, on one line that can be copied whole."""
    console.print(f"run directory: {run.path}", soft_wrap=True, highlight=False, markup=False)


def _mean_losses(records: pd.DataFrame) -> dict[str, float]:
    """Return the mean loss over episodes after each inner step, for each number of shots."""
    means = records.groupby(["shots", "inner_step"], as_index=False)["loss"].mean()
    names = (f"loss_{shots}_shots_step_{step}" for shots, step in zip(means["shots"], means["inner_step"], strict=True))
    return dict(zip(names, means["loss"].tolist(), strict=True))


def _logged(sample: Sample) -> dict[str, object]:
    return {
        "context": sample.context,
        "reference": sample.reference,
        "before": sample.before,
        "after": sample.after,
        "topic": sample.topic,
        "inner_step": sample.inner_step,
    }
