"""`metadialog train`: meta-train a model, and evaluate it on held-out topics."""

import math

from metadialog.cli.composed_job import Job
from metadialog.experiment.experiment import Existing, Experiment
from metadialog.experiment.rerun import started_again


def main(job: Job) -> float:
    """Run the experiment, and print its directory.

    Returns:
        The best validation loss after adaptation, in nats per token, which sweeps minimise.
    """
    existing: Existing = "continue" if job.multirun and started_again() else "refuse"
    run = Experiment(job.composed).run(
        job.directory, existing=existing, console=job.console, command_line=job.command_line
    )
    job.console.print(f"run directory: {run.path}", soft_wrap=True, highlight=False, markup=False)
    return run.validation_loss if job.writes else math.nan
