"""`metrics.jsonl`: the local truth of what a run measured."""

import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from metadialog.errors import RunError
from metadialog.loggers.base import Split


class MetricsFile:
    """Appends scalars to a file of JSON lines, each with exactly `step`, `split`, `name`, `value` and `time`.

    `step` is the outer step, `time` the seconds since the epoch. JSON knows no NaN and no infinity: such a
    value is written as null, so that every line stays valid for every reader. Finite values are written with
    as many digits as give back the same float.

    Args:
        path: the file; it is made with its directory if absent, and continued if present.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def log(self, step: int, split: Split, values: Mapping[str, float]) -> None:
        """Append one line per value, all with the same time, and flush them."""
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
            self._file.write(json.dumps(line, ensure_ascii=False, allow_nan=False).encode() + b"\n")
        self._file.flush()

    def position(self) -> int:
        """Return the length of the file in bytes, with all of it on the disk; for a checkpoint to keep."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return os.fstat(self._file.fileno()).st_size

    def truncate(self, position: int) -> None:
        """Drop what was written after a checkpoint, so that a resumed run does not tell it twice.

        Args:
            position: length in bytes at the checkpoint, from `position`.

        Raises:
            RunError: the file is shorter than that, so it is not the file of that checkpoint.
        """
        length = self.position()
        if length < position:
            raise RunError(
                f"{self._path}: {length} bytes long, but the checkpoint was written at {position} bytes; "
                f"resume needs the metrics file that belongs to the checkpoint"
            )
        self._file.truncate(position)
        self._file.seek(position)

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        self._file.close()
