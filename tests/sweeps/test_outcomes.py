"""The outcome of a run, from its files."""

import json
from pathlib import Path

import pytest

from metadialog.errors import RunError
from metadialog.sweeps.outcomes import read_outcome

LINES = [
    '{"step": 0, "split": "meta_validation", "name": "loss_after", "value": 5.0}',
    '{"step": 2, "split": "meta_validation", "name": "loss_after", "value": 4.0}',
    '{"step": 4, "split": "meta_validation", "name": "loss_after", "value": NaN}',
    '{"step": 4, "split": "meta_train", "name": "loss_after", "value": 1.0}',
    '{"step": 6, "split": "meta_valida',
]


@pytest.mark.parametrize(
    ("status", "reason", "state"),
    [
        ("finished", None, "finished"),
        ("pruned", "worse", "pruned"),
        ("failed", "RunError: diverged", "failed"),
        ("failed", "KeyboardInterrupt", "interrupted"),
        ("failed", "Terminated: by signal 15", "interrupted"),
        ("running", None, "running"),
    ],
)
def test_states(tmp_path: Path, status: str, reason: str | None, state: str) -> None:
    (tmp_path / "status.json").write_text(json.dumps({"status": status, "reason": reason}))
    (tmp_path / "metrics.jsonl").write_text("\n".join(LINES))
    outcome = read_outcome(tmp_path)
    assert (outcome.state, outcome.value, outcome.reason) == (state, 4.0, reason)
    assert outcome.is_final == (state in ("finished", "pruned", "failed"))


def test_a_run_that_never_began(tmp_path: Path) -> None:
    assert read_outcome(tmp_path).state == "missing"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"status": "well"}'])
def test_a_damaged_status_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "status.json").write_text(text)
    with pytest.raises(RunError, match=r"status\.json: no (readable )?status of a run: "):
        read_outcome(tmp_path)
