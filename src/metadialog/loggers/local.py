"""No logger beyond the files in the run directory."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from metadialog.loggers.base import Status
from metadialog.runs.metrics_file import Split


class LocalLogger:
    """Sends nothing anywhere: `metrics.jsonl`, `adaptation.parquet` and `samples.jsonl` hold it all.

    Takes the same arguments as every logger, so that the program need not know which one it has.
    """

    def __init__(self, run_dir: Path, config: Mapping[str, object], name: str, run_id: str | None) -> None:
        del run_dir, config, name
        self._run_id = run_id

    @property
    def run_id(self) -> str | None:
        """The identifier that was given: a run that goes back to a service later still continues there."""
        return self._run_id

    def log(self, step: int, split: Split, values: Mapping[str, float]) -> None:
        """Do nothing: the metrics file holds the scalars."""

    def log_adaptation(self, records: pd.DataFrame) -> None:
        """Do nothing: `adaptation.parquet` holds the records."""

    def log_samples(self, samples: Sequence[Mapping[str, object]]) -> None:
        """Do nothing: `samples.jsonl` holds the samples."""

    def log_model(self, directory: Path) -> None:
        """Do nothing: the model is in the run directory."""

    def log_report(self, tables: Mapping[str, pd.DataFrame], figures: Mapping[str, Path], page: Path) -> None:
        """Do nothing: the files are there."""

    def finish(self, status: Status) -> None:
        """Do nothing: nothing is held."""
