"""The directory of a sweep, with its description, trials and lock."""

import json
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from metadialog.errors import RunError
from metadialog.escapes import escaped
from metadialog.runs import layout
from metadialog.runs.atomic import write_atomically
from metadialog.runs.reading import is_there
from metadialog.runs.schemas import FORMAT, read_sweep, read_trials
from metadialog.sweeps.outcomes import Outcome, State, read_outcome, read_state
from metadialog.sweeps.storage import hide_password


@dataclass(frozen=True, slots=True)
class Record:
    """The record of a run of a sweep.

    Attributes:
        number: number of the trial in its study, or of the job in its sweep.
        state: state of the run.
        value: best validation loss after adaptation, nats per token.
        directory: directory of the run, relative to the sweep's.
        overrides: overrides that reproduce the run.
        reason: why it failed or was pruned, on one line.
        seconds: duration of its last start; None if it has not ended.
    """

    number: int
    state: State
    value: float | None
    directory: str
    overrides: list[str]
    reason: str | None = None
    seconds: float | None = None


class SweepDirectory:
    """The paths of a sweep.

    Attributes:
        path: the directory.
        database: database of the study, unless another storage is set.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = path / layout.STUDY
        self._sweep = path / layout.SWEEP
        self._trials = path / layout.TRIALS

    def run(self, number: int) -> Path:
        """Return the directory of a trial's run."""
        return self.path / str(number)

    def exists(self) -> bool:
        """Tell whether there is a sweep here."""
        return is_there(self._sweep)

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Lock the directory against other processes.

        Raises:
            RunError: another process holds the lock.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / layout.LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise RunError(
                f"{self.path}: this sweep is running already{self._who()}; wait for its end, or end it"
            ) from (error)
        try:
            yield
        finally:
            lock.release()

    def _who(self) -> str:
        try:
            process = self.read()["process"]
            return escaped(f", by process {process['id']} on {process['host']} since {process['started']}")
        except (RunError, KeyError, TypeError):
            return ""

    def write(self, about: Mapping[str, Any]) -> None:
        """Write the description of the sweep and of this process, without passwords in URLs."""
        process = {"id": os.getpid(), "host": socket.gethostname(), "started": _now()}
        content = json.dumps({"format": FORMAT, **about, "process": process}, indent=2)
        write_atomically(self._sweep, hide_password(content) + "\n", mode=0o600)

    def read(self) -> dict[str, Any]:
        """Read the description of the sweep.

        Raises:
            RunError: there is no sweep here, or its file is damaged.
        """
        return read_sweep(self._sweep)

    def write_records(self, records: Iterable[Record]) -> None:
        """Write the records of the trials, one JSON object per line."""
        lines = (json.dumps(asdict(record), ensure_ascii=False) for record in records)
        write_atomically(self._trials, "".join(f"{line}\n" for line in lines))

    def read_records(self) -> list[Record]:
        """Read the records of the trials, with the current state of unfinished ones.

        Raises:
            RunError: the file is damaged.
        """
        if not is_there(self._trials):
            return []
        lines = (line.model_dump(exclude={"format"}) for line in read_trials(self._trials))
        return [self._latest(Record(**line)) for line in lines]

    def _latest(self, record: Record) -> Record:
        if Outcome(record.state).is_final:
            # Version 0.1.0 did not write how long a run took.
            return record if record.seconds is not None else replace(record, seconds=self._seconds(record))
        result = read_outcome(self.path / record.directory)
        return replace(record, state=result.state, value=result.value, reason=result.reason, seconds=result.seconds)

    def _seconds(self, record: Record) -> float | None:
        return read_state(self.path / record.directory).seconds


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
