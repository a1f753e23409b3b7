"""MLflow logger for a local folder or a tracking server."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pandas as pd
from annotated_types import MinLen

from metadialog.extras import need
from metadialog.loggers.base import SAMPLE_KEYS, LoggedRun, Status
from metadialog.loggers.service_calls import GivesUp
from metadialog.runs.scalars_file import Split
from metadialog.statistics.adaptation import adaptation_curves, adaptation_gain

if TYPE_CHECKING:
    from mlflow import MlflowClient

Text = Annotated[str, MinLen(1)]

_STATUS = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
_MOST_PARAMETER = 500  # maximum length of a value in MLflow


class MlflowLogger:
    """Logs a run to MLflow.

    Args:
        run: the run; its config is logged as parameters.
        experiment: experiment of the run, which is created if missing.
        tracking_uri: a folder or the address of a server; None for `MLFLOW_TRACKING_URI`, else for `mlruns` in the
            working directory.

    Raises:
        ConfigError: MLflow is not installed.
    """

    def __init__(
        self,
        run: LoggedRun,
        *,
        experiment: Text,
        tracking_uri: Text | None,
    ) -> None:
        need("mlflow", "mlflow", "logger=mlflow")
        self._run_id = run.id
        self._calls = GivesUp("MLflow")
        self._client: MlflowClient | None = None
        self._calls.run(lambda: self._open(run, experiment, tracking_uri))

    def _open(self, run: LoggedRun, experiment: str, tracking_uri: str | None) -> None:
        import os

        from mlflow import MlflowClient

        uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or Path("mlruns").absolute().as_uri()
        if not uri.startswith(("http", "databricks")):
            # MLflow 3 accepts a folder only with this setting.
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        client = MlflowClient(uri)
        if self._run_id is None:
            existing = client.get_experiment_by_name(experiment)
            number = client.create_experiment(experiment) if existing is None else existing.experiment_id
            self._run_id = client.create_run(number, run_name=run.name).info.run_id
            for key, value in _flat(run.config).items():
                client.log_param(self._run_id, key, str(value)[:_MOST_PARAMETER])
            client.set_tag(self._run_id, "run_directory", str(run.directory.absolute()))
        else:
            client.update_run(self._run_id, status="RUNNING")
        self._client = client

    @property
    def run_id(self) -> str | None:
        """Identifier of the run, under which a resumed run continues it."""
        return self._run_id

    def log(self, step: int, split: Split, values: Mapping[str, float]) -> None:
        """Log scalars as `split/name`; values that are not finite are left out."""
        for name, value in values.items():
            if math.isfinite(value):
                self._call("log_metric", f"{split}/{name}", float(value), step=step)

    def log_adaptation(self, records: pd.DataFrame) -> None:
        """Log a curve for each topic, over the inner steps, the gain, and the records as a file."""
        for topic, curve in adaptation_curves(records).items():
            for step, loss in curve.items():
                if math.isfinite(loss):
                    self._call("log_metric", f"adaptation_curve/{_key(topic)}", loss, step=step)
        for name, value in adaptation_gain(records).items():
            if math.isfinite(value):
                self._call("log_metric", f"adaptation/{name}", value)
        self._call("log_text", records.to_csv(index=False), "adaptation.csv")

    def log_samples(self, samples: Sequence[Mapping[str, object]]) -> None:
        """Log the samples as a file."""
        table = pd.DataFrame([{key: sample.get(key) for key in SAMPLE_KEYS} for sample in samples])
        self._call("log_text", table.to_csv(index=False), "samples.csv")

    def log_model(self, directory: Path) -> None:
        """Log the exported model as files."""
        self._call("log_artifacts", str(directory), "model")

    def log_report(self, tables: Mapping[str, pd.DataFrame], figures: Mapping[str, Path], page: Path) -> None:
        """Log the tables, the figures and the page as files."""
        for name, table in tables.items():
            self._call("log_text", table.to_csv(index=False), f"{name}.csv")
        for path in (*figures.values(), page):
            self._call("log_artifact", str(path))

    def finish(self, status: Status) -> None:
        """Mark the run as ended."""
        self._call("set_terminated", status=_STATUS[status])
        self._client = None

    def _call(self, name: str, *arguments: Any, **options: Any) -> None:
        client, run_id = self._client, self._run_id
        if client is not None:
            self._calls.run(lambda: getattr(client, name)(run_id, *arguments, **options))


def _flat(node: object, path: str = "") -> dict[str, object]:
    if isinstance(node, Mapping):
        parts = (_flat(value, f"{path}.{name}" if path else str(name)) for name, value in node.items())
        return {key: value for part in parts for key, value in part.items()}
    return {path: node} if path else {}


def _key(topic: str) -> str:
    """Return a topic with only the characters that MLflow allows in names."""
    return "".join(sign if sign.isascii() and (sign.isalnum() or sign in "_-. /") else "_" for sign in topic)
