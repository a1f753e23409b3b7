"""The directory of a run, and its status."""

import json
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from metadialog.errors import PrunedError, RunError
from metadialog.overrides import typed
from metadialog.runs import layout
from metadialog.runs.atomic import replacing, write_atomically
from metadialog.runs.config_file import read_config
from metadialog.runs.reading import check_regular, is_there
from metadialog.runs.schemas import FORMAT, SCALARS_LIMIT, read_costs, read_selection, read_status
from metadialog.trust import check_strangers

if TYPE_CHECKING:
    import pandas as pd

_LIBRARIES = ("metadialog", "torch", "learn2learn", "hydra-core", "omegaconf", "wandb", "tokenizers", "numpy")


class RunDirectory:
    """The paths of a run.

    Attributes:
        path: the directory.
        scalars: scalars of training, one JSON object per line: step, split, name, value, time.
        records: adaptation records (Parquet).
        samples: replies before and after adaptation, one JSON object per line.
        selection: choices on the meta-validation topics (JSON).
        cost: cost of training and evaluation (JSON).
        last, best: checkpoints.
        model: exported model.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / layout.CONFIG
        self.status = path / layout.STATUS
        self.scalars = path / layout.SCALARS
        self.records = path / layout.RECORDS
        self.samples = path / layout.SAMPLES
        self.selection = path / layout.SELECTION
        self.cost = path / layout.COST
        self.last = path / layout.CHECKPOINTS / layout.LAST
        self.best = path / layout.CHECKPOINTS / layout.BEST
        self.model = path / layout.MODEL
        self._finished: tuple[dict[Path, bytes], list[tuple[int, int] | None]] | None = None

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write the resolved config."""
        self._remember()
        write_atomically(self.config, OmegaConf.to_yaml(OmegaConf.create(dict(config))))

    def read_config(self) -> dict[str, Any]:
        """Read the resolved config.

        Raises:
            RunError: there is none, or it cannot be read.
        """
        config = read_config(self.config)
        check_strangers(config, self.config)
        return config

    def read_status(self) -> dict[str, Any]:
        """Read `status.json`.

        Raises:
            RunError: there is none, or it is damaged.
        """
        return read_status(self.status).model_dump()

    def check_finished(self) -> None:
        """Check that the run has finished, and that its cost and choices can be read.

        Raises:
            RunError: it has not, this is not the directory of a run, or a file is damaged.
        """
        status = self.read_status()["status"]
        if status != "finished":
            raise RunError(
                f"{self.path}: the run is {status}, not finished; go on with it by {typed('resume', str(self.path))}"
            )
        if is_there(self.cost):
            read_costs(self.cost)
        if is_there(self.selection):
            read_selection(self.selection)

    def check_resumable(self) -> None:
        """Check the files that a resumed run continues.

        Raises:
            RunError: a file is damaged, or is not a regular file.
        """
        if is_there(self.status):
            self.read_status()
        if is_there(self.scalars):
            check_regular(self.scalars, SCALARS_LIMIT, "scalars of a run")

    def check_new(self) -> None:
        """Check that there is no run here.

        Raises:
            RunError: there is one.
        """
        if is_there(self.status):
            raise RunError(f"{self.path}: holds a run already; choose another directory")

    def write_results(
        self, records: "pd.DataFrame", metadata: Mapping[bytes, bytes], samples: Sequence[Mapping[str, object]]
    ) -> None:
        """Write the records, with the metadata of their file, and the samples."""
        from metadialog.runs.records import write_table

        with replacing(self.records) as partial:
            write_table(partial, records, metadata)
        lines = (json.dumps(sample, ensure_ascii=False) for sample in samples)
        write_atomically(self.samples, "".join(f"{line}\n" for line in lines))

    @contextmanager
    def running(self, seeds: Mapping[str, int], command: str) -> Iterator[None]:
        """Keep `status.json` up to date: running, then finished, failed or pruned, with the reason.

        Args:
            seeds: seeds by purpose.
            command: command line.
        """
        self._remember()
        started = {
            "format": FORMAT,
            "status": "running",
            "reason": None,
            "command": command,
            "started": _now(),
            "ended": None,
            "seeds": dict(seeds),
            "git_revision": _git_revision(),
            "versions": {"python": platform.python_version(), **{n: metadata.version(n) for n in _LIBRARIES}},
        }
        self._write_status(started)
        try:
            yield
        except BaseException as error:
            if self._restore():  # the run was finished before, and resuming it has changed nothing
                raise
            # An interrupt is recorded like any other end, and raised again.
            reason = f"{type(error).__name__}: {error}".removesuffix(": ")
            status = "pruned" if isinstance(error, PrunedError) else "failed"
            with suppress(OSError):  # on a full disk the status is not changed, and the first error is reported
                self._write_status({**started, "status": status, "reason": reason, "ended": _now()})
            raise
        self._write_status({**started, "status": "finished", "ended": _now()})

    def _remember(self) -> None:
        """Remember the status of a finished run, in case resuming it fails before anything has changed."""
        if self._finished is None and self.status.is_file() and read_status(self.status).status == "finished":
            said = {path: path.read_bytes() for path in (self.config, self.status) if path.is_file()}
            self._finished = (said, self._progress())

    def _restore(self) -> bool:
        """Restore the status of a finished run that has not changed; return whether it was restored."""
        if self._finished is None or self._finished[1] != self._progress():
            return False
        with suppress(OSError):
            for path, content in self._finished[0].items():
                write_atomically(path, content)
        return True

    def _progress(self) -> list[tuple[int, int] | None]:
        """Return the sizes and times of the files that change when a run makes progress."""
        results: list[tuple[int, int] | None] = []
        for path in (self.last, self.best, self.records, self.scalars):
            try:
                about = path.stat()
            except OSError:
                results.append(None)
            else:
                # Opening the file of scalars changes its time, but not its length.
                results.append((about.st_size, 0 if path == self.scalars else about.st_mtime_ns))
        return results

    def _write_status(self, status: Mapping[str, object]) -> None:
        write_atomically(self.status, json.dumps(status, indent=2) + "\n")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _git_revision() -> str | None:
    """Return the git revision of this package's checkout, marked if there are uncommitted changes."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        tracked = subprocess.run([*git, "ls-files", "--error-unmatch", __file__], capture_output=True, check=False)
        if tracked.returncode != 0:  # an installed package inside another checkout
            return None
        revision = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return revision.strip() + ("-dirty" if changed.strip() else "")
