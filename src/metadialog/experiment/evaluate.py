"""The evaluation of a finished run, on the same or other data and options."""

from pathlib import Path

from metadialog.experiment.config import EvaluateConfig
from metadialog.experiment.final_evaluation import draw_evaluation
from metadialog.experiment.hardware import find_device, own_settings
from metadialog.experiment.learner import make_learner
from metadialog.experiment.workspace import Workspace
from metadialog.preparation.topics import prepare_topics
from metadialog.runs.reading import is_there
from metadialog.runs.run_directory import RunDirectory
from metadialog.training.cost import cost_of
from metadialog.training.export import load_exported, load_tokenizer
from metadialog.training.trainer import Sinks


def evaluate(config: EvaluateConfig, workspace: Workspace) -> None:
    """Evaluate a run's exported model; write the results to a new directory.

    Args:
        config: the run and the options.
        workspace: where to write the results.

    Raises:
        RunError: the run's model cannot be read.
    """
    source = RunDirectory(Path(config.run).expanduser())
    with own_settings(config.threads):
        tokenizer = load_tokenizer(source.model)
        learner = make_learner(config, tokenizer)
        model = load_exported(source.model, learner.algorithm, tokenizer, find_device(config.device))
        with workspace.recorded(config.seeds) as scalars:
            topics = prepare_topics(config.dataset, config.split, config.cache)
            workspace.console.print(topics.summary(), highlight=False, markup=False)
            evaluation = draw_evaluation(config, workspace, learner, topics)
            with workspace.logged(f"evaluate-{learner.name}-{topics.corpus.name}-seed{config.seed}") as logger:
                trained = cost_of(source.cost) if is_there(source.cost) else None
                evaluation.run(model, Sinks(workspace.run, scalars, logger), 0, trained)
