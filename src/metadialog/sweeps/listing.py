"""The list of the runs of a sweep, with one line per run."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

from metadialog.sweeps.directory import Record
from metadialog.sweeps.outcomes import Outcome
from metadialog.sweeps.progress import duration, varied

COLUMNS = ("run", "state", "validation loss", "duration", "varied", "reason")

Order = Literal["run", "state", "loss", "duration"]

_UNFINISHED = {"interrupted": "interrupted", "running": "running, or killed", "missing": "not begun"}
_KEYS: dict[Order, Callable[[Record], object]] = {
    "run": lambda record: record.number,
    "state": lambda record: record.state,
    "loss": lambda record: math.inf if record.value is None else record.value,
    "duration": lambda record: -1.0 if record.seconds is None else record.seconds,
}
ORDERS = tuple(_KEYS)


def rows(records: Sequence[Record], order: Order = "run", *, reverse: bool = False) -> list[tuple[str, ...]]:
    """Return a row of `COLUMNS` for each run.

    Args:
        records: records of the runs.
        order: column to sort by; ties are in the order of run numbers.
        reverse: whether to sort in descending order.
    """
    named = list(zip(records, varied([record.overrides for record in records]), strict=True))
    ordered = sorted(named, key=lambda pair: _KEYS[order](pair[0]), reverse=reverse)  # type: ignore[arg-type, return-value]
    return [_row(record, own) for record, own in ordered]


def _row(record: Record, own: Sequence[str]) -> tuple[str, ...]:
    return (
        record.directory,
        record.state if Outcome(record.state).is_final else _UNFINISHED[record.state],
        "" if record.value is None else f"{record.value:.4f}",
        "" if record.seconds is None else duration(record.seconds),
        " ".join(own),
        record.reason or "",
    )
