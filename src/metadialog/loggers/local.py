"""The logger that only relies on the files in the run directory."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from metadialog.loggers.base import LoggedRun, Status
from metadialog.runs.scalars_file import Split

if TYPE_CHECKING:
    import pandas as pd


class LocalLogger:
    """Logs nothing, as `metrics.jsonl`, `adaptation.parquet` and `samples.jsonl` contain everything.

    Args:
        run: the run.
    """

    def __init__(self, run: LoggedRun) -> None:
        self._run_id = run.id

    @property
    def run_id(self) -> str | None:
        """The given identifier, so that a run can later continue with a service."""
        return self._run_id

    def log(self, step: int, split: Split, values: Mapping[str, float]) -> None:
        """Do nothing, as the metrics file contains the scalars."""

    def log_adaptation(self, records: "pd.DataFrame") -> None:
        """Do nothing, as `adaptation.parquet` contains the records."""

    def log_samples(self, samples: Sequence[Mapping[str, object]]) -> None:
        """Do nothing, as `samples.jsonl` contains the samples."""

    def log_model(self, directory: Path) -> None:
        """Do nothing, as the model is in the run directory."""

    def log_report(self, tables: Mapping[str, "pd.DataFrame"], figures: Mapping[str, Path], page: Path) -> None:
        """Do nothing, as the files exist."""

    def finish(self, status: Status) -> None:
        """Do nothing."""
