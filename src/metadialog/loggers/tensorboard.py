"""TensorBoard logger, with event files in the run directory."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from metadialog.extras import need
from metadialog.loggers.base import SAMPLE_KEYS, LoggedRun, Status
from metadialog.loggers.service_calls import GivesUp
from metadialog.runs.scalars_file import Split
from metadialog.statistics.adaptation import adaptation_curves, adaptation_gain

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "tensorboard"


class TensorboardLogger:
    """Logs a run to TensorBoard; `tensorboard --logdir DIR` shows all runs below a directory.

    A resumed run adds a file, whose values replace earlier ones of the same steps.

    Args:
        run: the run; its name and config are shown as text, as TensorBoard identifies runs by directories.

    Raises:
        ConfigError: TensorBoard is not installed.
    """

    def __init__(self, run: LoggedRun) -> None:
        need("tensorboard", "tensorboard", "logger=tensorboard")
        from torch.utils.tensorboard.writer import SummaryWriter

        self._run_id = run.id
        self._calls = GivesUp("TensorBoard")
        self._writer: SummaryWriter | None = None
        self._calls.run(lambda: self._open(lambda: SummaryWriter(str(run.directory / FOLDER))))
        self._text(
            "config", "\n".join(f"    {key}: {value}" for key, value in {"name": run.name, **run.config}.items())
        )

    def _open(self, make: Callable[[], object]) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        made = make()
        self._writer = made if isinstance(made, SummaryWriter) else None

    @property
    def run_id(self) -> str | None:
        """The given identifier, so that a run can later continue with a service."""
        return self._run_id

    def log(self, step: int, split: Split, values: Mapping[str, float]) -> None:
        """Log scalars as `split/name`."""
        writer = self._writer
        if writer is not None:
            for name, value in values.items():
                self._calls.run(lambda name=name, value=value: writer.add_scalar(f"{split}/{name}", value, step))  # type: ignore[misc]

    def log_adaptation(self, records: "pd.DataFrame") -> None:
        """Log a curve for each topic, over the inner steps, and the gain."""
        writer = self._writer
        if writer is None:
            return
        for topic, curve in adaptation_curves(records).items():
            for step, loss in curve.items():
                self._calls.run(lambda t=topic, s=step, v=loss: writer.add_scalar(f"adaptation_curve/{t}", v, s))  # type: ignore[misc]
        for name, value in adaptation_gain(records).items():
            self._calls.run(lambda name=name, value=value: writer.add_scalar(f"adaptation/{name}", value))  # type: ignore[misc]

    def log_samples(self, samples: Sequence[Mapping[str, object]]) -> None:
        """Log the samples as a table."""
        head = f"| {' | '.join(SAMPLE_KEYS)} |\n|{'---|' * len(SAMPLE_KEYS)}"
        lines = [f"| {' | '.join(_cell(sample.get(key)) for key in SAMPLE_KEYS)} |" for sample in samples]
        if lines:
            self._text("samples", "\n".join([head, *lines]))

    def log_model(self, directory: Path) -> None:
        """Do nothing, as the model is in the run directory."""

    def log_report(self, tables: Mapping[str, "pd.DataFrame"], figures: Mapping[str, Path], page: Path) -> None:
        """Log the figures as images."""
        from matplotlib.image import imread

        del tables, page
        writer = self._writer
        if writer is not None:
            for name, path in figures.items():
                self._calls.run(lambda n=name, p=path: writer.add_image(n, imread(p), dataformats="HWC"))  # type: ignore[misc]

    def finish(self, status: Status) -> None:
        """Flush and close the file."""
        writer, self._writer = self._writer, None
        if writer is not None:
            self._calls.run(lambda: writer.add_text("status", status))
            self._calls.run(writer.close)

    def _text(self, name: str, text: str) -> None:
        writer = self._writer
        if writer is not None:
            self._calls.run(lambda: writer.add_text(name, text))


def _cell(value: object) -> str:
    return escape(" ".join(str(value).split())).replace("|", "&#124;")
