"""Weights & Biases logger: online, offline or disabled."""

import os
import secrets
import string
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Len, MinLen
from pydantic import Field

from metadialog.errors import MetadialogError
from metadialog.loggers import wandb_session
from metadialog.loggers.base import SAMPLE_KEYS, LoggedRun, Status
from metadialog.loggers.service_calls import within
from metadialog.runs.layout import SCALARS
from metadialog.runs.scalars_file import Split, read_rows
from metadialog.statistics.adaptation import adaptation_curves, adaptation_gain

if TYPE_CHECKING:
    import pandas as pd
    import wandb

# The x-axis of every chart of scalars. wandb's own step never decreases; this one may, in a resumed run.
STEP = "meta_step"

_CALL_SECONDS = 60.0  # for one call in the middle of a run; scalars take well under a millisecond
_RUN_ID_LENGTH = 8
_SPLITS = ("meta_train", "meta_validation", "meta_test")


# Characters that the service accepts.
Project = Annotated[str, Field(pattern=r"^[^/\\#?%:]+$", max_length=128)]
Title = Annotated[str, Len(1, 128)]
Group = Annotated[str, Len(1, 128)]
Tag = Annotated[str, Len(1, 64)]


class WandbLogger:
    """Logs a run to Weights & Biases, with its own files in `<run_dir>/wandb`.

    It never prompts and never hangs: without a key or a network the run is offline, which is reported in one line on
    stderr. Later failures are reported once, and training continues with the local files.

    Args:
        run: the run.
        title: name in the list of runs; None for `WANDB_NAME`, else for that of the run.
        project: project to put the run in; None for `WANDB_PROJECT`, else for `metadialog`.
        entity: user or team that owns the project; None for `WANDB_ENTITY`, else for the default of the key.
        group: runs with the same group are shown together; None for `WANDB_RUN_GROUP`, else for no group.
        tags: labels of the run; empty for `WANDB_TAGS`, else for none.
        mode: `auto` is online if there is a key and the server answers, else offline, unless set by `WANDB_MODE` or
            wandb's settings files.

    Attributes:
        failed: whether the service has failed, so that nothing more is logged.

    Raises:
        ConfigError: `WANDB_MODE` is not a mode of wandb.
    """

    def __init__(
        self,
        run: LoggedRun,
        *,
        title: Title | None,
        project: Project | None,
        entity: Annotated[str, MinLen(1)] | None,
        group: Group | None,
        tags: list[Tag],
        mode: Literal["auto", "online", "offline", "disabled"],
    ) -> None:
        self._run: wandb.Run | None = None
        self.failed = False
        self._run_id = run.id
        if mode == "disabled":
            return
        self._run_id = run.id or _agents_run_id() or _new_run_id()
        identity = wandb_session.RunIdentity(
            run=replace(run, id=self._run_id),
            title=title,
            project=project,
            entity=entity,
            group=group,
            tags=tuple(tags),
        )
        try:
            self._run = wandb_session.open_run(identity, mode, _say)
        except MetadialogError:
            raise
        except Exception as error:  # noqa: BLE001  (named in the line that is said)
            self._give_up("cannot start", error)
            wandb_session.close_service()
            return
        self._call(_define_axes)
        if run.id is not None:
            self._call(lambda opened: _log_again(opened, run.directory / SCALARS))

    @property
    def run_id(self) -> str | None:
        """Identifier of the run, under which a resumed run continues it, offline too."""
        return self._run_id

    def log(self, step: int, split: Split, values: Mapping[str, float]) -> None:
        """Log scalars as `split/name` against `meta_step`."""
        row = {STEP: int(step)} | {f"{split}/{name}": float(value) for name, value in values.items()}
        self._call(lambda run: run.log(row))

    def log_adaptation(self, records: "pd.DataFrame") -> None:
        """Log the records as a table, one chart with a curve per topic, and the gain in the run's summary."""
        self._call(lambda run: _log_adaptation(run, records))

    def log_samples(self, samples: Sequence[Mapping[str, object]]) -> None:
        """Log the samples as a table."""
        self._call(lambda run: _log_samples(run, samples))

    def log_model(self, directory: Path) -> None:
        """Log the exported model as an artifact of type `model`; its files are not copied and must stay."""
        self._call(lambda run: _log_model(run, directory))

    def log_report(self, tables: Mapping[str, "pd.DataFrame"], figures: Mapping[str, Path], page: Path) -> None:
        """Log the tables as tables, the figures as images, and the page."""
        self._call(lambda run: _log_report(run, tables, figures, page))

    def finish(self, status: Status) -> None:
        """Mark the run as finished or failed, upload the rest within a minute, and stop wandb's service.

        An interrupted run is marked as failed, and has only seconds.
        """
        run, self._run = self._run, None
        if run is None:
            return
        try:
            wandb_session.close_run(run, exit_code=0 if status == "finished" else 1, hurry=status == "interrupted")
        except TimeoutError:
            directory = run.settings.sync_dir
            self._give_up(f"has not uploaded all; `wandb sync {directory}` does the rest", None)
        except (Exception, SystemExit) as error:  # noqa: BLE001  (named in the line that is said)
            self._give_up("cannot finish", error)

    def _call(self, call: "Callable[[wandb.Run], None]") -> None:
        run = self._run
        if run is None or self.failed:
            return
        try:
            within(_CALL_SECONDS, lambda: call(run))
        except (Exception, SystemExit) as error:  # noqa: BLE001  (named in the line that is said)
            self._give_up("fails", error)

    def _give_up(self, what: str, error: BaseException | None) -> None:
        if not self.failed:
            cause = "" if error is None else f" ({wandb_session.one_line(error)})"
            _say(f"W&B {what}{cause}; the files in the run directory hold everything")
        self.failed = True


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _agents_run_id() -> str | None:
    """Return the identifier that `wandb agent` has given to this run of its sweep; None in any other run."""
    return os.environ.get("WANDB_RUN_ID") if "WANDB_SWEEP_ID" in os.environ else None


def _new_run_id() -> str:
    # Not from the seeded generators, as runs with the same seed need different identifiers.
    alphabet = string.ascii_lowercase + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(_RUN_ID_LENGTH))


def _define_axes(run: "wandb.Run") -> None:
    for split in _SPLITS:
        run.define_metric(f"{split}/*", step_metric=STEP)


def _log_again(run: "wandb.Run", scalars: Path) -> None:
    """Log the scalars from before a resume, unless the server has resumed the run.

    An offline run cannot append to another: its steps count from 0, so that its upload replaces the earlier one with
    the same identifier. It must therefore contain everything.
    """
    if run.resumed:
        return
    for row in read_rows(scalars):
        run.log({STEP: row.step} | {f"{row.split}/{name}": value for name, value in row.scalars.items()})


def _table(frame: "pd.DataFrame") -> "wandb.Table":
    """Return a frame as a W&B table, with None for pandas' NA."""
    import wandb

    return wandb.Table(dataframe=frame.astype(object).where(frame.notna(), None))


def _log_adaptation(run: "wandb.Run", records: "pd.DataFrame") -> None:
    import wandb

    run.summary.update({f"adaptation/{name}": value for name, value in adaptation_gain(records).items()})
    row: dict[str, object] = {"adaptation_records": _table(records)}
    curves = adaptation_curves(records)
    if curves:
        row["adaptation_curve"] = wandb.plot.line_series(
            xs=[list(curve) for curve in curves.values()],
            ys=[list(curve.values()) for curve in curves.values()],
            keys=list(curves),
            title="Query loss after each inner step, by topic",
            xname="inner step",
        )
    run.log(row)


def _log_samples(run: "wandb.Run", samples: Sequence[Mapping[str, object]]) -> None:
    import wandb

    rows: list[Iterable[object]] = [[sample.get(key) for key in SAMPLE_KEYS] for sample in samples]
    run.log({"samples": wandb.Table(columns=list(SAMPLE_KEYS), data=rows)})


def _log_model(run: "wandb.Run", directory: Path) -> None:
    import wandb

    artifact = wandb.Artifact(f"model-{run.id}", type="model")
    # "immutable" avoids a copy of the weights in the home directory for every run.
    artifact.add_dir(str(directory), policy="immutable")
    run.log_artifact(artifact)


def _log_report(
    run: "wandb.Run", tables: Mapping[str, "pd.DataFrame"], figures: Mapping[str, Path], page: Path
) -> None:
    import wandb

    row: dict[str, object] = {name: _table(frame) for name, frame in tables.items()}
    row |= {name: wandb.Image(str(path)) for name, path in figures.items()}
    row["report"] = wandb.Html(str(page), inject=False)
    run.log(row)
