"""`metadialog train`: from dialogues to a meta-trained model, evaluated on held-out topics."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import MinLen
from hydra.core.hydra_config import HydraConfig
from rich.console import Console
from torch import nn

from metadialog.algorithms.base import Algorithm
from metadialog.cli.user_errors import command_line
from metadialog.config import build
from metadialog.console import make_console
from metadialog.errors import PrunedError
from metadialog.evaluation.adaptation import Labels
from metadialog.experiment.session import (
    Device,
    Seed,
    Threads,
    evaluate_and_report,
    find_device,
    make_algorithm,
    making_a_model,
    print_cut,
    print_directory,
    row_name,
    seed_everything,
    use_threads,
)
from metadialog.loggers.base import Logger, Status
from metadialog.loggers.local import LocalLogger
from metadialog.models.parts import freeze
from metadialog.preparation.episodes import held_out, selection_episodes, train_tokenizer, validation_episodes
from metadialog.preparation.topics import Topics, load_topics
from metadialog.progress import progress
from metadialog.runs.metrics_file import MetricsFile
from metadialog.runs.run_directory import RunDirectory
from metadialog.starts.start import Start
from metadialog.sweeps.trial import NoTrial, load_trial
from metadialog.tokenizers.tokenizer import Tokenizer
from metadialog.training.checkpoint import latest_checkpoint
from metadialog.training.cost import Cost, cost_of
from metadialog.training.distributed import Ranks, ranks
from metadialog.training.export import export_model, take_weights
from metadialog.training.resume import total_steps
from metadialog.training.trainer import Outer, Sinks, Trainer

Node = dict[str, Any]


def train(
    *,
    dataset: Node,
    split: Node,
    tokenizer: Node,
    sampler: Node,
    model: Node,
    embedding: Node,
    algorithm: Node,
    start: Node,
    inner: Node,
    objective: Node,
    engine: Node,
    optimizer: Node,
    schedule: Node,
    training: Node,
    generation: Node,
    evaluation: Node,
    logger: Node,
    seed: Seed,
    device: Device,
    threads: Threads | None,
    dtype: Literal["float32", "float64"],
    resume: Annotated[str, MinLen(1)] | None,
    cache: str | None,
) -> float:
    """Meta-train a model and evaluate it; write the run directory.

    Args:
        dataset: config node of the data set.
        split: config node of the split of its topics.
        tokenizer: config node of the tokenizer.
        sampler: config node of the sampler of episodes.
        model: config node of the model.
        embedding: config node of what its token embedding starts from.
        algorithm: config node of the algorithm.
        start: config node of what the outer loop starts from.
        inner: config node of the inner loop's update rule.
        objective: config node of what the two levels minimise.
        engine: config node of the engine.
        optimizer: config node of the outer optimizer.
        schedule: config node of its schedule.
        training: config node of the outer loop.
        generation: config node of the generation of replies.
        evaluation: config node of the protocol on held-out topics.
        logger: config node of the logger.
        seed: of the initialisation, of dropout and of the training episodes.
        device: to compute on.
        threads: CPU threads; None for one a core.
        dtype: of the parameters.
        resume: the run directory to go on with.
        cache: the folder that downloads and prepared data are kept in.

    Returns:
        The best validation loss after adaptation, in nats: what sweeps minimise.
    """
    config = dict(locals())
    team = ranks()
    console = make_console(quiet=not team.is_first)
    run = RunDirectory(Path(HydraConfig.get().runtime.output_dir))
    where = find_device(device, team.local_rank)
    use_threads(threads)
    seeds = {"seed": seed, "split": split.get("seed", 0), "evaluation": evaluation["seed"]}
    with team.connected(where), _written(run, team, config, seeds) as metrics:
        checkpoint = team.share(lambda: None if resume is None else _go_on(run, metrics, console))
        with team.one_first():
            topics = load_topics(dataset, split, cache)
            text_to_ids = train_tokenizer(tokenizer, topics)
        console.print(topics.summary(), highlight=False, markup=False)
        if team.size > 1:
            console.print(f"{team.size} processes share each meta-batch", highlight=False)
        protocol = build(evaluation)
        learner = make_algorithm(config, text_to_ids)
        others = learner.sees_topic
        episodes = held_out(topics.of(topics.split.test), text_to_ids, protocol, sampler, with_others=others)
        chosen_on = selection_episodes(topics, text_to_ids, protocol, sampler, with_others=others)
        print_cut(console, episodes, text_to_ids, protocol.max_tokens)
        run_logger = _logger(config, run, team, checkpoint)
        sinks = Sinks(run, metrics, run_logger, load_trial(run.path) if team.is_first else NoTrial())
        outcome: Status = "failed"
        try:
            trainer = _trainer(
                config, topics, text_to_ids, learner, sinks, where, team, console, fresh=checkpoint is None
            )
            trainer.cost = _cost_before(config)
            if checkpoint:
                trainer.load_state_dict(checkpoint)
            with progress(console, "training", trainer.steps, trainer.standing.step) as report:
                standing = trainer.run(report)
            _announce(console, trainer)
            if team.is_first:
                export_model(run.model, trainer.model, trainer.algorithm, text_to_ids, config)
                run_logger.log_model(run.model)
            labels = Labels(
                row_name(config),
                build(engine).name,
                topics.corpus.name,
                seed,
                split="meta_test",
                language=topics.language,
            )
            evaluate_and_report(
                trainer.model,
                trainer.algorithm,
                episodes,
                protocol,
                generation,
                text_to_ids,
                labels,
                sinks,
                standing.step,
                console,
                team,
                selected_on=chosen_on,
                trained=trainer.cost,
            )
            outcome = "finished"
        except PrunedError:
            outcome = "finished"
            raise
        except KeyboardInterrupt:
            outcome = "interrupted"
            raise
        finally:
            run_logger.finish(outcome)
    print_directory(console, run)
    return standing.best_loss


@contextmanager
def _written(
    run: RunDirectory, team: Ranks, config: Mapping[str, Any], seeds: Mapping[str, int]
) -> Iterator[MetricsFile]:
    """Open what the first process writes of the run, and nothing in the others."""
    if not team.is_first:
        with MetricsFile(Path(os.devnull)) as nothing:
            yield nothing
        return
    if config["resume"] is None:
        run.check_new()
    # The metrics first: their lock keeps a second process out.
    with MetricsFile(run.metrics) as metrics:
        run.write_config(config)
        with run.running(seeds, command_line()):
            yield metrics
            metrics.position()  # a run whose metrics are not on the disk has not finished


def _go_on(run: RunDirectory, metrics: MetricsFile, console: Console) -> dict[str, Any] | None:
    """Return the checkpoint to go on from; None if the run broke off too early to have one."""
    checkpoint = latest_checkpoint(run.last, run.best)
    if checkpoint is None:
        metrics.truncate(0)
        console.print("the run broke off before its first checkpoint, and begins anew", highlight=False)
    return checkpoint


def _logger(config: Mapping[str, Any], run: RunDirectory, team: Ranks, checkpoint: Mapping[str, Any] | None) -> Logger:
    """Make the logger of the first process; the others have nothing to say."""
    name = f"{row_name(config)}-{dataset_name(config['dataset'])}-seed{config['seed']}"
    run_id = checkpoint["logger_run_id"] if checkpoint else None
    if not team.is_first:
        return LocalLogger(run.path, config, name, run_id)
    logger: Logger = build(config["logger"], run.path, config, name, run_id)
    return logger


def dataset_name(dataset: Mapping[str, Any]) -> str:
    """Return how the data set is called."""
    return str(build(dataset).name)


def _trainer(
    config: Mapping[str, Any],
    topics: Topics,
    tokenizer: Tokenizer,
    algorithm: Algorithm,
    sinks: Sinks,
    device: torch.device,
    team: Ranks,
    console: Console,
    *,
    fresh: bool,
) -> Trainer:
    """Put the parts of training together."""
    seed = config["seed"]
    seed_everything(seed)
    model = _model(config, tokenizer, algorithm, device, console, fresh=fresh)
    optimizer = build(config["optimizer"], [*model.parameters(), *algorithm.learned.parameters()])
    training = {**config["training"], "steps": total_steps(config)}
    schedule = build(config["schedule"], optimizer, training["steps"])
    sampler = build(config["sampler"], topics.of(topics.split.train), tokenizer, seed)
    validation = validation_episodes(
        topics,
        tokenizer,
        build(config["evaluation"]),
        config["sampler"],
        episodes_per_topic=training["validation_episodes"],
        with_others=algorithm.sees_topic,
    )
    on_device = [episode.to(device) for episode in validation]
    outer = Outer(optimizer, schedule)
    trainer: Trainer = build(training, model, algorithm, outer, sampler, on_device, sinks, team)
    return trainer


def _cost_before(config: Mapping[str, Any]) -> Cost:
    """Return what the training of the run has cost that this one starts from."""
    start: Start = build(config["start"])
    return Cost() if start.run is None else cost_of(RunDirectory(Path(start.run).expanduser()).cost)


def _model(
    config: Mapping[str, Any],
    tokenizer: Tokenizer,
    algorithm: Algorithm,
    device: torch.device,
    console: Console,
    *,
    fresh: bool,
) -> nn.Module:
    """Make the model, and what the algorithm learns beside it.

    Raises:
        ConfigError: it is larger than the memory.
        RunError: the model that it is to start from is another one.
    """
    start: Start = build(config["start"])
    with making_a_model():
        bare = build(config["model"], tokenizer.vocab_size)
        if start.run is not None and fresh:
            take_weights(RunDirectory(Path(start.run).expanduser()).model, bare, tokenizer)
        elif fresh and (said := build(config["embedding"]).fill(bare, tokenizer)):
            console.print(said, highlight=False, markup=False, soft_wrap=True)
        freeze(bare, config["training"]["frozen"], "training.frozen")
        model = algorithm.prepare(bare)
        dtype = getattr(torch, config["dtype"])
        algorithm.learned.to(device, dtype)
        return model.to(device, dtype)


def _announce(console: Console, trainer: Trainer) -> None:
    standing = trainer.standing
    early = f" (of {trainer.steps}: no better validation for a while)" if standing.step < trainer.steps else ""
    console.print(
        f"trained {standing.step} steps{early}; best validation loss {standing.best_loss:.3f} "
        f"at step {standing.best_step}, which is the model from here on",
        highlight=False,
    )
