"""The outcome of a run, from the files in its directory."""

import json
import os
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from metadialog.errors import RunError
from metadialog.runs import layout
from metadialog.runs.reading import open_regular
from metadialog.runs.schemas import SCALARS_LIMIT, Status, read_status

State = Literal["finished", "pruned", "failed", "interrupted", "running", "missing"]
"""`interrupted` by a signal; `running` or killed, which cannot be distinguished; `missing` if never started."""

# Prefixes of the reason of a status if nothing was wrong with the run itself.
_INTERRUPTS = ("KeyboardInterrupt", "Terminated", "Preempted", "SystemExit")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a run.

    Attributes:
        state: state of the run.
        value: best validation loss after adaptation so far, nats per token; None if there is none.
        reason: why it failed or was pruned, on one line.
        seconds: duration of its last start; None if it has not ended.
    """

    state: State
    value: float | None = None
    reason: str | None = None
    seconds: float | None = None

    @property
    def is_final(self) -> bool:
        """Whether the run has ended by itself, so that resuming it would change nothing."""
        return self.state in ("finished", "pruned", "failed")


def read_outcome(directory: Path) -> Outcome:
    """Return the outcome of the run in a directory.

    Raises:
        RunError: its status is damaged.
    """
    outcome = read_state(directory)
    if outcome.state == "missing":
        return outcome
    return replace(outcome, value=best_validation(directory / layout.SCALARS))


def read_state(directory: Path) -> Outcome:
    """Return the outcome of the run in a directory without its value, which requires reading all scalars.

    Raises:
        RunError: its status is damaged.
    """
    path = directory / layout.STATUS
    if not os.path.lexists(path):
        return Outcome("missing")
    status = read_status(path)
    state: State = status.status
    if state == "failed" and str(status.reason).startswith(_INTERRUPTS):
        state = "interrupted"
    reason = None if status.reason is None else " ".join(status.reason.split())
    return Outcome(state, None, reason, _seconds(status))


def _seconds(status: Status) -> float | None:
    try:
        started, ended = (datetime.fromisoformat(str(time)) for time in (status.started, status.ended))
        return (ended - started).total_seconds()
    except (TypeError, ValueError):
        return None


def best_validation(scalars: Path) -> float | None:
    """Return the lowest validation loss after adaptation in a file of scalars; None if there is none."""
    best: float | None = None
    try:
        with open_regular(scalars, SCALARS_LIMIT) as lines:
            for line in lines:
                if b'"loss_after"' not in line:
                    continue
                metric = _parse(line)
                if metric.get("split") == "meta_validation" and isinstance(metric.get("value"), float):
                    best = metric["value"] if best is None else min(best, metric["value"])
    except (OSError, RunError):
        return None
    return best


def _parse(line: bytes) -> dict[str, Any]:
    """Return the object in a line; empty for an incomplete line of a killed process."""
    try:
        result = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return result if isinstance(result, dict) else {}
