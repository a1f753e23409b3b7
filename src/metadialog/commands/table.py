"""`metadialog table`: from run directories to tables, figures and a report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Len, Lt, MinLen

from metadialog.cli.user_errors import command_line
from metadialog.config import build
from metadialog.console import make_console
from metadialog.errors import ConfigError
from metadialog.loggers.base import Logger, Status
from metadialog.reports.comparison import chosen_metrics, compare_runs
from metadialog.reports.runs import Unfinished, read_runs
from metadialog.reports.terminal import terminal
from metadialog.reports.write import NO_COST, Report, render
from metadialog.statistics.comparison import CHOSEN
from metadialog.statistics.metric_comparison import Settings
from metadialog.statistics.metrics import METRICS
from metadialog.statistics.paired import Test

Count = Annotated[int, Ge(0)]
Place = Annotated[str, MinLen(1)]


def table(
    *,
    runs: Annotated[list[Place], Len(1)] | Place,
    output: Place,
    metrics: Annotated[list[str], Len(1)],
    shots: Annotated[list[Count], Len(1)] | None,
    steps: Annotated[list[Literal["chosen"] | Count], Len(1)] | None,
    unfinished: Unfinished,
    resamples: Annotated[int, Ge(100)],
    confidence: Annotated[float, Gt(0), Lt(1)],
    test: Test,
    significance: Annotated[float, Gt(0), Lt(1)],
    seed: Count,
    logger: dict[str, Any],
) -> None:
    """Compare runs, and write tables, figures and a report.

    Args:
        runs: run directories, multirun trees, or directories of them.
        output: the directory to write to.
        metrics: the columns of the tables; `table.csv` has all that the records hold.
        shots: a table for each number of support dialogues; None for the most.
        steps: the inner steps of the columns; None for the chosen or else the last, and for the first metric before.
        unfinished: refuse runs that have not come to their end, or skip them.
        resamples: of the bootstrap.
        confidence: of the intervals.
        test: of an algorithm against the best.
        significance: a corrected p-value below it is a difference.
        seed: of the resamples.
        logger: config node of the logger.

    Raises:
        ConfigError: an option asks for what the records do not hold.
        RunError: the runs cannot be read, or cannot be compared.
    """
    config = dict(locals())
    unknown = [name for name in metrics if name not in METRICS]
    if unknown:
        raise ConfigError(f"metrics: {', '.join(unknown)}: no such metric; valid: {', '.join(METRICS)}")
    directory = Path(output).expanduser()
    if directory.exists() and not directory.is_dir():
        raise ConfigError(f"output={output}: is a file; it should be a directory")
    console = make_console()
    places = [runs] if isinstance(runs, str) else runs
    found, skipped = read_runs([Path(place).expanduser() for place in places], unfinished)
    for line in skipped:
        console.print(f"left out: {line}", highlight=False, markup=False)
    comparison = compare_runs(found, Settings(resamples, confidence, test, significance, seed))
    report = render(comparison, chosen_metrics(comparison, metrics), shots, _numbers(steps), command_line(), skipped)
    report.write(directory)
    _log(logger, config, report, directory)
    console.print(terminal(comparison, report.grids))
    if report.without_cost:
        console.print(NO_COST, highlight=False)
    console.print(f"report: {directory / 'report.html'}", highlight=False, markup=False)


def _numbers(steps: list[Any] | None) -> list[int] | None:
    return None if steps is None else [CHOSEN if step == "chosen" else int(step) for step in steps]


def _log(node: Mapping[str, Any], config: Mapping[str, Any], report: Report, directory: Path) -> None:
    """Show the tables and figures in the logger as a run of their own."""
    run_logger: Logger = build(node, directory, config, f"table-{report.comparison.dataset}", None)
    outcome: Status = "failed"
    try:
        tables = {
            "scores": report.comparison.scores,
            "differences": report.comparison.differences,
            "topic_scores": report.comparison.topics,
        }
        figures = {Path(name).stem: directory / name for name in report.files if name.endswith(".png")}
        run_logger.log_report(tables, figures, directory / "report.html")
        outcome = "finished"
    finally:
        run_logger.finish(outcome)
