"""Several loggers at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Len

from metadialog.config import build
from metadialog.loggers.base import LoggedRun, Logger, Status
from metadialog.runs.scalars_file import Split

if TYPE_CHECKING:
    import pandas as pd

Name = Literal["wandb", "tensorboard", "mlflow", "trackio"]
Node = dict[str, Any]


class SeveralLoggers:
    """Logs to several loggers.

    Args:
        run: the run, with the identifiers of all loggers, as returned by `run_id`.
        use: loggers to use.
        wandb: config node of one of them.
        tensorboard: likewise.
        mlflow: likewise.
        trackio: likewise.
    """

    def __init__(
        self,
        run: LoggedRun,
        *,
        use: Annotated[list[Name], Len(1)],
        wandb: Node,
        tensorboard: Node,
        mlflow: Node,
        trackio: Node,
    ) -> None:
        nodes: dict[str, Node] = {"wandb": wandb, "tensorboard": tensorboard, "mlflow": mlflow, "trackio": trackio}
        before = dict(part.split(":", 1) for part in (run.id or "").split(",") if ":" in part)
        self._loggers: dict[str, Logger] = {}
        for one in dict.fromkeys(use):
            self._loggers[one] = build(nodes[one], replace(run, id=before.get(one)))

    @property
    def run_id(self) -> str | None:
        """The identifiers of all loggers that have one, as `wandb:abc,mlflow:def`."""
        ids = [f"{name}:{logger.run_id}" for name, logger in self._loggers.items() if logger.run_id is not None]
        return ",".join(ids) or None

    def log(self, step: int, split: Split, values: Mapping[str, float]) -> None:
        """Log scalars of one outer step."""
        self._each(lambda logger: logger.log(step, split, values))

    def log_adaptation(self, records: "pd.DataFrame") -> None:
        """Log the final adaptation records."""
        self._each(lambda logger: logger.log_adaptation(records))

    def log_samples(self, samples: Sequence[Mapping[str, object]]) -> None:
        """Log sample replies."""
        self._each(lambda logger: logger.log_samples(samples))

    def log_model(self, directory: Path) -> None:
        """Log the exported model."""
        self._each(lambda logger: logger.log_model(directory))

    def log_report(self, tables: Mapping[str, "pd.DataFrame"], figures: Mapping[str, Path], page: Path) -> None:
        """Log a comparison of runs."""
        self._each(lambda logger: logger.log_report(tables, figures, page))

    def finish(self, status: Status) -> None:
        """Close all logs."""
        self._each(lambda logger: logger.finish(status))

    def _each(self, call: Callable[[Logger], None]) -> None:
        for logger in self._loggers.values():
            call(logger)
