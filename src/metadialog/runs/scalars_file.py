"""`metrics.jsonl`, the authoritative record of a run's scalars."""

import json
import logging
import math
import os
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal, Self

from metadialog.errors import RunError

_log = logging.getLogger(__name__)

Split = Literal["meta_train", "meta_validation", "meta_test"]


@dataclass(frozen=True, slots=True)
class Row:
    """Scalars that were logged together.

    Attributes:
        step: outer step.
        split: part of the topics.
        scalars: values by name; NaN if not finite.
    """

    step: int
    split: str
    scalars: Mapping[str, float]


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the logged rows in order; a missing file and unreadable lines are ignored."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as lines:
        parsed = [row for row in map(_parse, lines) if row is not None]
    for (step, split, _), group in groupby(parsed, key=lambda row: row[:3]):
        yield Row(step, split, {name: value for *_, name, value in group})


def _parse(line: str) -> tuple[int, str, float, str, float] | None:
    """Return step, split, time, name and value of a line; None for an incomplete line of a killed process."""
    try:
        result = json.loads(line)
        value = math.nan if result["value"] is None else float(result["value"])
        return int(result["step"]), str(result["split"]), float(result["time"]), str(result["name"]), value
    except (ValueError, KeyError, TypeError):
        return None


def check_reaches(path: Path, length: int, position: int) -> None:
    """Check that a file of scalars goes as far as it did when a checkpoint was written.

    Raises:
        RunError: it is shorter than that, so it is not the file of that checkpoint.
    """
    if length < position:
        raise RunError(
            f"{path}: {length} bytes long, but the checkpoint was written at {position} bytes; "
            f"resume needs the file that belongs to the checkpoint"
        )


class ScalarsFile:
    """Appends scalars to a file of JSON lines, each with exactly `step`, `split`, `name`, `value` and `time`.

    `step` is the outer step, `time` the seconds since the epoch. JSON has no NaN and no infinity, so such values are
    written as null. Finite values are written with enough digits to restore the same float.

    If the file cannot be written, as on a full disk, a warning is logged once, and lines are kept in memory until it
    can.

    Args:
        path: the file, which is created with its directory if missing, and otherwise continued.

    Raises:
        RunError: another process is writing to it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        self._waiting = b""
        self._problem: OSError | None = None
        if stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
            self._lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def log(self, step: int, split: Split, values: Mapping[str, float]) -> None:
        """Append one line per value, all with the same time, and write them at once."""
        now = time.time()
        for name, value in values.items():
            number = float(value)
            line = {
                "step": int(step),
                "split": split,
                "name": name,
                "value": number if math.isfinite(number) else None,
                "time": now,
            }
            self._waiting += json.dumps(line, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        self._write()

    def position(self) -> int:
        """Flush the file and return its length in bytes, for checkpoints.

        Raises:
            OSError: it cannot be written.
        """
        self._write()
        if self._problem is not None:
            raise OSError(self._problem.errno, self._problem.strerror, str(self._path)) from self._problem
        os.fsync(self._file.fileno())
        return os.fstat(self._file.fileno()).st_size

    def truncate(self, position: int) -> None:
        """Remove rows that were written after a checkpoint, so that a resumed run does not repeat them.

        Args:
            position: length in bytes at the checkpoint, from `position`.

        Raises:
            RunError: the file is shorter, so it does not belong to the checkpoint.
        """
        check_reaches(self._path, self.position(), position)
        self._file.truncate(position)

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        if not self._file.closed:
            self._write()
            self._file.close()

    def _write(self) -> None:
        """Write pending lines as far as possible."""
        try:
            while self._waiting:
                self._waiting = self._waiting[self._file.write(self._waiting) or 0 :]
        except OSError as error:
            if self._problem is None:
                _log.warning("%s cannot be written (%s): its lines wait in memory", self._path, error.strerror)
            self._problem = error
            return
        self._problem = None

    def _lock(self) -> None:
        """Lock the file against other processes, such as a second `resume=` of the run."""
        try:
            import fcntl
        except ImportError:  # Windows has none
            return
        try:
            fcntl.flock(self._file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise RunError(f"{self._path}: another process is writing this run; wait for its end, or end it") from error
        except OSError:  # a file system without locks
            return
