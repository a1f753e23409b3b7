"""Meta-training: from dialogues to a trained model, evaluated on held-out topics."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from metadialog.algorithms.prepare import prepared_model
from metadialog.cache.entries import cache_directory
from metadialog.config import build
from metadialog.experiment.config import TrainConfig
from metadialog.experiment.final_evaluation import draw_evaluation
from metadialog.experiment.hardware import find_device, own_settings, seed_everything
from metadialog.experiment.learner import Learner, make_learner
from metadialog.experiment.workspace import Workspace
from metadialog.preparation.episodes import validation_episodes
from metadialog.preparation.tokens import train_tokenizer
from metadialog.preparation.topics import Topics, data_digest, prepare_topics
from metadialog.progress import progress
from metadialog.runs.atomic import write_atomically
from metadialog.runs.layout import SELECTION
from metadialog.runs.run_directory import RunDirectory
from metadialog.runs.scalars_file import ScalarsFile
from metadialog.sweeps.trial import NoTrial, load_trial
from metadialog.text import counted
from metadialog.training.checkpoint import latest_checkpoint
from metadialog.training.cost import TrainingMeter, cost_of
from metadialog.training.export import export_model, take_weights
from metadialog.training.model_card import write_results
from metadialog.training.options import TrainingOptions
from metadialog.training.resume import Origin, total_steps
from metadialog.training.trainer import Outer, Sinks, Trainer

Checkpoint = Mapping[str, Any]


def train(config: TrainConfig, workspace: Workspace) -> None:
    """Meta-train a model and evaluate it; write the run directory.

    Args:
        config: options of the run.
        workspace: where to write the run.

    Raises:
        MetadialogError: the data, the options or the run directory are unsuitable.
    """
    run, team, console = workspace.run, workspace.team, workspace.console
    device = find_device(config.device, team.local_rank, team.size)
    with (
        own_settings(config.threads),
        team.connected(device),
        workspace.recorded(config.seeds, resumes=config.resume is not None) as scalars,
    ):
        checkpoint = team.share(lambda: None if config.resume is None else _checkpoint(workspace, scalars))
        with team.one_first():
            topics = prepare_topics(config.dataset, config.split, config.cache)
            tokenizer = train_tokenizer(config.tokenizer, topics)
        console.print(topics.summary(), highlight=False, markup=False)
        if team.size > 1:
            console.print(f"{team.size} processes share each meta-batch", highlight=False)
        learner = make_learner(config, tokenizer)
        learner.settle_engine(cache_directory(config.cache), team.share)
        evaluation = draw_evaluation(config, workspace, learner, topics)
        name = f"{learner.name}-{topics.corpus.name}-seed{config.seed}"
        with workspace.logged(name, checkpoint["logger_run_id"] if checkpoint else None) as logger:
            trial = load_trial(run.path) if team.is_first else NoTrial()
            sinks = Sinks(run, scalars, logger, trial)
            trainer = _trainer(config, workspace, topics, learner, sinks, device, fresh=checkpoint is None)
            trainer.cost = _cost_before(learner)
            trainer.origin = Origin(data_digest(topics), tokenizer.to_json())
            if checkpoint:
                trainer.load_state_dict(dict(checkpoint))
            with progress(console, "training", trainer.steps, trainer.standing.step) as report:
                standing = trainer.run(report)
            _announce(workspace, trainer)
            if team.is_first:
                export_model(run.model, trainer.model, trainer.algorithm, tokenizer, workspace.config)
                logger.log_model(run.model)
            records = evaluation.run(trainer.model, sinks, standing.step, trainer.cost)
            if team.is_first:
                write_results(run.model, workspace.config, records)
                if run.selection.exists():  # so that the model folder is complete without the run
                    write_atomically(run.model / SELECTION, run.selection.read_text(encoding="utf-8"))


def _checkpoint(workspace: Workspace, scalars: ScalarsFile) -> dict[str, Any] | None:
    """Return the checkpoint to resume from; None if the run was interrupted before its first one."""
    checkpoint = latest_checkpoint(workspace.run.last, workspace.run.best)
    if checkpoint is None:
        scalars.truncate(0)
        workspace.console.print(
            "the run was interrupted before its first checkpoint, and starts from the beginning", highlight=False
        )
    return checkpoint


def _trainer(
    config: TrainConfig,
    workspace: Workspace,
    topics: Topics,
    learner: Learner,
    sinks: Sinks,
    device: torch.device,
    *,
    fresh: bool,
) -> Trainer:
    """Build the trainer."""
    seed_everything(config.seed)
    model = _model(config, workspace, learner, device, fresh=fresh)
    algorithm = learner.algorithm
    optimizer = build(config.optimizer, [*model.parameters(), *algorithm.learned.parameters()])
    options: TrainingOptions = build({**config.training, "steps": total_steps(workspace.config)})
    schedule = build(config.schedule, optimizer, options.steps)
    sampler = build(config.sampler, topics.of(topics.split.train), learner.tokenizer, config.seed)
    validation = validation_episodes(
        topics,
        learner.tokenizer,
        build(config.evaluation),
        config.sampler,
        episodes_per_topic=options.validation_episodes,
    )
    on_device = [episode.to(device) for episode in validation]
    outer = Outer(optimizer, schedule)
    return Trainer(model, algorithm, outer, sampler, on_device, sinks, workspace.team, options)


def _model(
    config: TrainConfig, workspace: Workspace, learner: Learner, device: torch.device, *, fresh: bool
) -> nn.Module:
    """Build the model, and what the algorithm learns in addition to it.

    Raises:
        ConfigError: the model does not fit into memory.
        RunError: the model to start from does not fit.
    """
    fill = partial(_fill, config, workspace, learner) if fresh else None
    algorithm, vocab_size = learner.algorithm, learner.tokenizer.vocab_size
    model = prepared_model(config.model, vocab_size, algorithm, config.training["frozen"], fill)
    dtype = getattr(torch, config.dtype)
    algorithm.learned.to(device, dtype)
    return model.to(device, dtype)


def _fill(config: TrainConfig, workspace: Workspace, learner: Learner, bare: nn.Module) -> None:
    """Initialise a new model with the weights of the run it starts from, or with a pretrained embedding, if any."""
    if learner.start.run is not None:
        take_weights(RunDirectory(Path(learner.start.run).expanduser()).model, bare, learner.tokenizer)
    elif said := build(config.embedding).fill(bare, learner.tokenizer):
        workspace.console.print(said, highlight=False, markup=False, soft_wrap=True)


def _cost_before(learner: Learner) -> TrainingMeter:
    """Return the training cost of the run that this one starts from."""
    run = learner.start.run
    return TrainingMeter() if run is None else cost_of(RunDirectory(Path(run).expanduser()).cost)


def _announce(workspace: Workspace, trainer: Trainer) -> None:
    standing = trainer.standing
    early = (
        f" (of {trainer.steps}: stopped early without a better validation loss)"
        if standing.step < trainer.steps
        else ""
    )
    workspace.console.print(
        f"trained {counted(standing.step, 'step')}{early}; best validation loss {standing.best_loss:.3f} "
        f"at step {standing.best_step}, whose model is kept",
        highlight=False,
    )
