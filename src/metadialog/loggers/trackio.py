"""trackio logger, with its local database or the destination in trackio's environment variables."""

import contextlib
import io
import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pandas as pd
from annotated_types import MinLen

from metadialog.extras import need
from metadialog.loggers.base import SAMPLE_KEYS, LoggedRun, Status
from metadialog.loggers.service_calls import GivesUp
from metadialog.runs.scalars_file import Split
from metadialog.statistics.adaptation import adaptation_curves, adaptation_gain

if TYPE_CHECKING:
    from trackio.run import Run


class TrackioLogger:
    """Logs a run to trackio; `trackio show` opens its page.

    Args:
        run: the run; a random suffix is added to its name, by which trackio identifies it.
        project: project of the run.

    Raises:
        ConfigError: trackio is not installed.
    """

    def __init__(
        self,
        run: LoggedRun,
        *,
        project: Annotated[str, MinLen(1)],
    ) -> None:
        need("trackio", "trackio", "logger=trackio")
        self._run_id = run.id or f"{run.name} {uuid.uuid4().hex[:8]}"
        self._calls = GivesUp("trackio")
        self._run: Run | None = None
        options = {**run.config, "run_directory": str(run.directory.absolute())}
        self._call(lambda: self._open(project, options))

    def _open(self, project: str, config: Mapping[str, object]) -> None:
        import trackio

        self._run = trackio.init(
            project=project,
            name=self._run_id,
            config=dict(config),
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    @property
    def run_id(self) -> str | None:
        """Name of the run, under which a resumed run continues it."""
        return self._run_id

    def log(self, step: int, split: Split, values: Mapping[str, float]) -> None:
        """Log scalars as `split/name`; values that are not finite are left out."""
        self._log({f"{split}/{name}": float(value) for name, value in values.items() if math.isfinite(value)}, step)

    def log_adaptation(self, records: pd.DataFrame) -> None:
        """Log the gain, and the curve of each topic over the inner steps as a table."""
        self._log({f"adaptation/{name}": value for name, value in adaptation_gain(records).items()})
        curves = adaptation_curves(records).items()
        rows = [
            {"topic": topic, "inner_step": step, "loss": loss}
            for topic, curve in curves
            for step, loss in curve.items()
        ]
        self._table("adaptation_curves", pd.DataFrame(rows))

    def log_samples(self, samples: Sequence[Mapping[str, object]]) -> None:
        """Log the samples as a table."""
        self._table("samples", pd.DataFrame([{key: str(sample.get(key)) for key in SAMPLE_KEYS} for sample in samples]))

    def log_model(self, directory: Path) -> None:
        """Do nothing, as the model is in the run directory."""

    def log_report(self, tables: Mapping[str, pd.DataFrame], figures: Mapping[str, Path], page: Path) -> None:
        """Log the tables."""
        del figures, page
        for name, table in tables.items():
            self._table(name, table)

    def finish(self, status: Status) -> None:
        """Flush and end the run."""
        self._log({"status": status})
        run, self._run = self._run, None
        if run is not None:
            import trackio

            self._call(trackio.finish)  # also releases it, so that it is not ended again on exit

    def _table(self, name: str, table: pd.DataFrame) -> None:
        if not table.empty and self._run is not None:
            from trackio import Table

            self._log({name: Table(dataframe=table)})

    def _log(self, values: Mapping[str, object], step: int | None = None) -> None:
        run = self._run
        if run is not None and values:
            self._call(lambda: run.log(dict(values), step=step))

    def _call(self, call: Callable[[], object]) -> None:
        """Call trackio, without what it prints."""
        with contextlib.redirect_stdout(io.StringIO()):
            self._calls.run(call)
