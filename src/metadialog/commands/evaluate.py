"""`metadialog evaluate run=DIR`: evaluate a finished run again, without changing it."""

from metadialog.cli.composed_job import Job
from metadialog.experiment.experiment import Experiment


def main(job: Job) -> float:
    """Run the evaluation, and print its directory.

    Returns:
        The mean loss after the last inner step, with the most shots, in nats per token.
    """
    run = Experiment(job.composed).run(
        job.directory, existing="refuse", console=job.console, command_line=job.command_line
    )
    job.console.print(f"run directory: {run.path}", soft_wrap=True, highlight=False, markup=False)
    return run.loss
