"""A run that is read from its directory."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metadialog.errors import MetadialogError, RunError
from metadialog.runs.reading import is_there
from metadialog.runs.run_directory import RunDirectory
from metadialog.runs.schemas import read_costs, read_samples, read_scalars

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from metadialog.inference.model import AdaptableModel


class Run:
    """The results of a run, read from its directory, which may have been moved.

    Nothing in it is executed. What was read is cached: load a running run again to see its progress.

    Args:
        path: directory of the run.

    Attributes:
        path: directory of the run.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser().absolute()
        self._files = RunDirectory(self.path)

    def __repr__(self) -> str:
        """Return its path, status and main options, as far as its files can be read."""
        try:
            said = [self._files.read_status()["status"], *_chosen(self.config)]
        except (MetadialogError, OSError, LookupError, TypeError):
            said = []
        return f"<Run {self.path}{': ' if said else ''}{', '.join(map(str, said))}>"

    @cached_property
    def status(self) -> dict[str, Any]:
        """The content of `status.json`: `status` (running, finished, failed or pruned), `reason`, seeds, times."""
        return self._files.read_status()

    @cached_property
    def config(self) -> dict[str, Any]:
        """The resolved config, as plain values."""
        return self._files.read_config()

    @cached_property
    def metrics(self) -> "pd.DataFrame":
        """The scalars of training: `step`, `split`, `name`, `value` (NaN if it was not finite), `time`."""
        import pandas as pd

        columns = ["step", "split", "name", "value", "time"]
        rows = read_scalars(self._files.scalars) if is_there(self._files.scalars) else []
        return pd.DataFrame([row.model_dump() for row in rows], columns=columns).astype({"value": "float64"})

    @cached_property
    def records(self) -> "pd.DataFrame":
        """The adaptation records: a row for each episode, number of shots and inner step; losses in nats per token.

        Raises:
            RunError: the run has not been evaluated yet.
        """
        from metadialog.runs.records import read_records

        path = self._files.records
        if not is_there(path):
            raise RunError(f"{path}: there is no such file: the run has not been evaluated yet")
        return read_records(path).records

    @cached_property
    def samples(self) -> "pd.DataFrame":
        """Replies before and after adaptation with their contexts and references, one row each."""
        import pandas as pd

        rows = read_samples(self._files.samples) if is_there(self._files.samples) else []
        return pd.DataFrame([row.model_dump() for row in rows])

    @cached_property
    def cost(self) -> dict[str, Any]:
        """The cost of training and evaluation: tokens, seconds, bytes, floating-point operations."""
        path = self._files.cost
        if not is_there(path):
            raise RunError(f"{path}: there is no such file: the run has not finished")
        return read_costs(path).model_dump(exclude_unset=True)

    @property
    def validation_loss(self) -> float:
        """The best loss after adaptation on the meta-validation topics, in nats per token; sweeps minimise it.

        Raises:
            RunError: the run has not been validated yet, or is an evaluation.
        """
        from metadialog.sweeps.outcomes import best_validation

        best = best_validation(self._files.scalars)
        if best is None:
            raise RunError(f"{self._files.scalars}: holds no finite validation loss")
        return best

    @property
    def loss(self) -> float:
        """The mean loss on the held-out topics after the last inner step, with the most shots, in nats per token."""
        from metadialog.statistics.adaptation import adaptation_gain

        return adaptation_gain(self.records)["loss_after"]

    def plot_adaptation(self, axes: "Axes | None" = None) -> "Axes":
        """Plot the adaptation curves: word perplexity on the held-out topics against the inner step.

        Args:
            axes: axes to draw on; None for new ones.

        Returns:
            The axes.
        """
        from metadialog.experiment.plot import plot_adaptation

        return plot_adaptation(self.records, axes)

    @cached_property
    def model(self) -> "AdaptableModel":
        """The trained model, which adapts to dialogues and replies; see `metadialog.inference`.

        Raises:
            RunError: the run has no exported model yet, or is an evaluation.
        """
        from metadialog.inference.folder import load_model

        return load_model(self.path)

    def evaluate(
        self, overrides: Sequence[str] = (), directory: str | Path | None = None, config_dir: str | Path | None = None
    ) -> "Run":
        """Evaluate the run's model again, as `metadialog evaluate run=...` does; the run itself does not change.

        Args:
            overrides: as on the command line, such as `evaluation.shots=[1,3,5]`.
            directory: directory to write to; None for a new one.
            config_dir: folder of additional configs; None for that of the run, if it had one.

        Returns:
            The evaluation, as a run.
        """
        from metadialog.experiment.compose import compose
        from metadialog.overrides import quote

        return compose("evaluate", [f"run={quote(str(self.path))}", *overrides], config_dir).run(directory)


def _chosen(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the options that identify a run."""
    yield f"algorithm={config['algorithm']['name']}"
    yield f"seed={config['seed']}"


def load(directory: str | Path) -> Run:
    """Return the run in a directory.

    Args:
        directory: directory of the run; it may have been moved.

    Raises:
        RunError: there is no run in it.
    """
    run = Run(directory)
    if not run.path.is_dir():
        raise RunError(f"{run.path}: there is no such directory; give the directory of a run")
    _ = run.status  # raises an error if there is no run
    return run
