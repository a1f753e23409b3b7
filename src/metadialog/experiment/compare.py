"""The comparison of runs: `metadialog.compare`, and what `metadialog table` prints."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pandas as pd
from annotated_types import Ge, Gt, Le, Len, Lt, MinLen

from metadialog.composing.compose import Composed, compose_job, initialised
from metadialog.config import build, check
from metadialog.errors import ConfigError
from metadialog.experiment.config import Directory, Node
from metadialog.experiment.run import Run
from metadialog.overrides import literal
from metadialog.reports.comparison import Comparison, chosen_metrics, compare_runs
from metadialog.reports.grid import shown_scores
from metadialog.reports.runs import Unfinished, read_runs
from metadialog.statistics.comparison import CHOSEN
from metadialog.statistics.metric_comparison import Settings
from metadialog.statistics.metrics import METRICS, Metric
from metadialog.statistics.paired import Test

Count = Annotated[int, Ge(0), Le(10**6)]


@dataclass(frozen=True, kw_only=True)
class TableConfig:
    """The options of the command.

    Attributes:
        runs: run directories, multirun trees, or directories of them.
        output: the directory to write to.
        metrics: metrics shown as columns; `table.csv` has all metrics of the records.
        shots: numbers of support dialogues, one table for each; None for the largest.
        steps: inner steps shown as columns; None for the chosen or else the last step, and for the first metric also
            step 0.
        unfinished: whether to refuse or skip runs that have not finished.
        resamples: number of bootstrap resamples.
        confidence: confidence level of the intervals.
        test: test of each algorithm against the best.
        significance: corrected p-values below it count as a difference.
        seed: seed of the resamples.
        baseline: a row that all others are also compared with; None for the best alone.
        logger: the logger.
    """

    command: ClassVar[str] = "table"

    runs: Annotated[list[Directory], Len(1)] | Directory
    output: Directory
    metrics: Annotated[list[str], Len(1)]
    shots: Annotated[list[Count], Len(1)] | None
    steps: Annotated[list[Literal["chosen"] | Count], Len(1)] | None
    unfinished: Unfinished
    resamples: Annotated[int, Ge(100), Le(10**7)]
    confidence: Annotated[float, Gt(0), Lt(1)]
    test: Test
    significance: Annotated[float, Gt(0), Lt(1)]
    seed: Count
    baseline: Annotated[str, MinLen(1)] | None
    logger: Node


@dataclass(frozen=True, slots=True)
class Compared:
    """A comparison, and the parts of it that were requested.

    Attributes:
        comparison: the computed comparison.
        metrics: metrics shown as columns.
        steps: inner steps shown as columns; None for the default.
        skipped: a line for each skipped run.
    """

    comparison: Comparison
    metrics: Sequence[Metric]
    steps: Sequence[int] | None
    skipped: Sequence[str]


def compare_directories(config: TableConfig) -> Compared:
    """Compare the runs in some directories.

    Raises:
        ConfigError: an option names something that the records do not hold.
        RunError: the runs cannot be read, or cannot be compared.
    """
    paths = [config.runs] if isinstance(config.runs, str) else config.runs
    result, skipped = read_runs([Path(path).expanduser() for path in paths], config.unfinished)
    valid = dict.fromkeys([*METRICS, *(metric.name for run in result for metric in run.own_metrics)])
    unknown = [name for name in config.metrics if name not in valid]
    if unknown:
        raise ConfigError(f"metrics: {', '.join(unknown)}: no such metric; valid: {', '.join(valid)}")
    settings = Settings(
        config.resamples, config.confidence, config.test, config.significance, config.seed, config.baseline
    )
    comparison = compare_runs(result, settings)
    steps = None if config.steps is None else [CHOSEN if step == "chosen" else int(step) for step in config.steps]
    return Compared(comparison, chosen_metrics(comparison, config.metrics), steps, skipped)


def compare(
    runs: Iterable[Run | str | Path],
    metrics: Sequence[str] | None = None,
    shots: Sequence[int] | None = None,
    steps: Sequence[int | Literal["chosen"]] | None = None,
    overrides: Sequence[str] = (),
) -> pd.DataFrame:
    """Compare runs: the numbers that `metadialog table` prints, as a table.

    Args:
        runs: runs, or directories of them.
        metrics: metrics to compare; None for those of `conf/table.yaml`.
        shots: numbers of support dialogues; None for the largest.
        steps: inner steps, or `chosen`; None for the chosen or else the last step, and for the first metric also step
            0.
        overrides: further options of `metadialog table`, such as `confidence=0.9`.

    Returns:
        A row for each algorithm, metric, number of shots and inner step: `mean`, `low` and `high` (the interval over
        seeds, topics and episodes), and `p_value_vs_best`. An inner step of -1 is the chosen one.

    Raises:
        ConfigError: an option names something that the records do not hold.
        RunError: the runs cannot be read, or cannot be compared.
    """
    paths = [str(run.path if isinstance(run, Run) else Path(run).expanduser().absolute()) for run in runs]
    given = {"runs": paths, "metrics": metrics, "shots": shots, "steps": steps}
    lines = [f"{name}={literal(list(value))}" for name, value in given.items() if value is not None]
    with initialised(TableConfig.command):
        nodes = Composed(compose_job(TableConfig.command, [*lines, *overrides], with_hydra=True)).resolve()
    check(nodes)
    config: TableConfig = build(nodes)
    compared = compare_directories(config)
    return shown_scores(compared.comparison, compared.metrics, config.shots, compared.steps)
