"""`metadialog evaluate run=DIR`: evaluate a finished run again, and leave it as it is."""

from pathlib import Path
from typing import Annotated, Any

from annotated_types import MinLen
from hydra.core.hydra_config import HydraConfig

from metadialog.cli.user_errors import command_line
from metadialog.config import build
from metadialog.console import make_console
from metadialog.evaluation.adaptation import Labels
from metadialog.experiment.session import (
    Device,
    Seed,
    Threads,
    evaluate_and_report,
    find_device,
    make_algorithm,
    print_cut,
    print_directory,
    row_name,
    use_threads,
)
from metadialog.loggers.base import Logger, Status
from metadialog.preparation.episodes import held_out, selection_episodes
from metadialog.preparation.topics import load_topics
from metadialog.runs.metrics_file import MetricsFile
from metadialog.runs.run_directory import RunDirectory
from metadialog.statistics.adaptation import adaptation_gain
from metadialog.training.cost import cost_of
from metadialog.training.export import load_exported, load_tokenizer
from metadialog.training.trainer import Sinks

Node = dict[str, Any]


def evaluate(
    *,
    run: Annotated[str, MinLen(1)],
    dataset: Node,
    split: Node,
    sampler: Node,
    algorithm: Node,
    start: Node,
    inner: Node,
    objective: Node,
    engine: Node,
    generation: Node,
    evaluation: Node,
    logger: Node,
    seed: Seed,
    device: Device,
    threads: Threads | None,
    cache: str | None,
) -> float:
    """Evaluate a run's exported model; write a directory of its own.

    Args:
        run: the directory of the finished run.
        dataset: config node of the data set.
        split: config node of the split of its topics.
        sampler: config node of the sampler of episodes.
        algorithm: config node of the algorithm.
        start: config node of what the outer loop starts from.
        inner: config node of the inner loop's update rule.
        objective: config node of what the two levels minimise.
        engine: config node of the engine.
        generation: config node of the generation of replies.
        evaluation: config node of the protocol on held-out topics.
        logger: config node of the logger.
        seed: the run's, for the records.
        device: to compute on.
        threads: CPU threads; None for one a core.
        cache: the folder that downloads and prepared data are kept in.

    Returns:
        The mean loss after the last inner step, with the most shots, in nats.

    Raises:
        RunError: the run's model cannot be read.
    """
    config = dict(locals())
    console = make_console()
    source = RunDirectory(Path(run).expanduser())
    where = find_device(device)
    use_threads(threads)
    target = RunDirectory(Path(HydraConfig.get().runtime.output_dir))
    tokenizer = load_tokenizer(source.model)
    learner = make_algorithm(config, tokenizer)
    model = load_exported(source.model, learner, tokenizer, where)
    target.check_new()
    target.write_config(config)
    with (
        target.running({"seed": seed, "evaluation": evaluation["seed"]}, command_line()),
        MetricsFile(target.metrics) as metrics,
    ):
        topics = load_topics(dataset, split, cache)
        console.print(topics.summary(), highlight=False, markup=False)
        protocol = build(evaluation)
        others = learner.sees_topic
        episodes = held_out(topics.of(topics.split.test), tokenizer, protocol, sampler, with_others=others)
        chosen_on = selection_episodes(topics, tokenizer, protocol, sampler, with_others=others)
        print_cut(console, episodes, tokenizer, protocol.max_tokens)
        name = f"evaluate-{row_name(config)}-{topics.corpus.name}-seed{seed}"
        run_logger: Logger = build(logger, target.path, config, name, None)
        outcome: Status = "failed"
        try:
            labels = Labels(
                row_name(config),
                build(engine).name,
                topics.corpus.name,
                seed,
                split="meta_test",
                language=topics.language,
            )
            sinks = Sinks(target, metrics, run_logger)
            records = evaluate_and_report(
                model,
                learner,
                episodes,
                protocol,
                generation,
                tokenizer,
                labels,
                sinks,
                0,
                console,
                selected_on=chosen_on,
                trained=cost_of(source.cost) if source.cost.exists() else None,
            )
            outcome = "finished"
        except KeyboardInterrupt:
            outcome = "interrupted"
            raise
        finally:
            run_logger.finish(outcome)
    print_directory(console, target)
    return adaptation_gain(records)["loss_after"]
