"""`metadialog table`: make tables, figures and a report from run directories."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metadialog.cli.composed_job import Job
from metadialog.config import build
from metadialog.experiment.compare import TableConfig, compare_directories
from metadialog.loggers.base import LoggedRun, Logger, Status
from metadialog.reports.terminal import terminal
from metadialog.reports.write import NO_COST, REPORT, Report, render


def main(job: Job) -> None:
    """Compare runs, and write tables, figures and a report.

    Raises:
        ConfigError: an option names something that is not in the records.
        RunError: the runs cannot be read, or cannot be compared.
    """
    config: TableConfig = build(job.config)
    directory = Path(config.output).expanduser()
    console = job.console
    compared = compare_directories(config)
    for line in compared.skipped:
        console.print(f"left out: {line}", highlight=False, markup=False)
    comparison, skipped = compared.comparison, compared.skipped
    report = render(comparison, compared.metrics, config.shots, compared.steps, job.command_line, skipped)
    report.write(directory)
    _log(config.logger, {name: value for name, value in job.config.items() if name != "_target_"}, report, directory)
    console.print(terminal(comparison, report.grids, report.baseline))
    if report.without_cost:
        console.print(NO_COST, highlight=False)
    console.print(f"report: {directory / REPORT}", highlight=False, markup=False)


def _log(node: Mapping[str, Any], config: Mapping[str, Any], report: Report, directory: Path) -> None:
    """Log the tables and figures as a separate run."""
    run_logger: Logger = build(node, LoggedRun(directory, config, f"table-{report.comparison.dataset}"))
    outcome: Status = "failed"
    try:
        tables = {
            "scores": report.comparison.scores,
            "differences": report.comparison.differences,
            "baseline_differences": report.comparison.baseline_differences,
            "topic_scores": report.comparison.topics,
        }
        figures = {Path(name).stem: directory / name for name in report.files if name.endswith(".png")}
        run_logger.log_report(tables, figures, directory / REPORT)
        outcome = "finished"
    finally:
        run_logger.finish(outcome)
