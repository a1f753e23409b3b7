"""`metadialog predict run=DIR specification=FILE`: answer a test specification of DSTC8's fast adaptation task."""

from metadialog.cli.composed_job import Job
from metadialog.config import build
from metadialog.experiment.predict import predict


def main(job: Job) -> None:
    """Write the predictions, and print their path."""
    path = predict(build(job.config), job.directory, job.console)
    job.composed.write(job.directory)
    job.console.print(f"predictions: {path}", soft_wrap=True, highlight=False, markup=False)
