"""Resuming a run that was changed or has finished loses none of its results."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from metadialog.errors import RunError
from metadialog.runs.run_directory import RunDirectory
from metadialog.training.checkpoint import latest_checkpoint
from metadialog.training.restoring import restore_optimizer, restore_schedule, restoring
from metadialog.training.resume import Origin, check_same_run

FIXTURES = Path(__file__).parents[1] / "fixtures" / "version_0_1_0"


@pytest.fixture
def finished(tmp_path: Path) -> RunDirectory:
    """A finished run."""
    shutil.copytree(FIXTURES / "finished", tmp_path / "finished")
    return RunDirectory(tmp_path / "finished")


def test_a_finished_run_stays_so_where_going_on_is_refused(finished: RunDirectory) -> None:
    before = finished.config.read_bytes(), finished.status.read_bytes()
    finished.write_config({"seed": 9})
    with pytest.raises(RunError, match="refused"), finished.running({}, "metadialog train"):
        raise RunError("refused")
    assert (finished.config.read_bytes(), finished.status.read_bytes()) == before


def test_a_finished_run_that_went_on_and_failed_says_so(finished: RunDirectory) -> None:
    finished.write_config({"seed": 9})
    with pytest.raises(RunError, match="diverged"), finished.running({}, "metadialog train"):
        _go_on_and_fail(finished.scalars)
    status = json.loads(finished.status.read_text())
    assert (status["status"], status["reason"]) == ("failed", "RunError: diverged")


def _go_on_and_fail(metrics: Path) -> None:
    with metrics.open("a") as file:
        file.write("{}\n")
    raise RunError("diverged")


@pytest.mark.parametrize("how", ["gone", "loops"])
def test_a_finished_run_without_checkpoints_does_not_begin_anew(finished: RunDirectory, how: str) -> None:
    for path in (finished.last, finished.best):
        path.unlink()
        if how == "loops":
            path.symlink_to(path.name)
    message = "there is no checkpoint to resume from" if how == "gone" else "Too many levels of symbolic links"
    with pytest.raises(RunError, match=message):
        latest_checkpoint(finished.last, finished.best)


def test_other_dialogues_and_another_tokenizer_are_refused() -> None:
    path = Path("checkpoints/last")
    origin = Origin("digest", "{}")
    origin.check({}, path)  # of version 0.1.0
    origin.check({"origin": origin.to_dict()}, path)
    with pytest.raises(RunError, match="the checksum of the dialogues is not that of the run"):
        Origin("other", "{}").check({"origin": origin.to_dict()}, path)
    with pytest.raises(RunError, match=r"the tokenizer .* is not that of the run"):
        Origin("digest", "{1}").check({"origin": origin.to_dict()}, path)
    with pytest.raises(RunError, match="origin should hold data and tokenizer"):
        origin.check({"origin": 3}, path)


def test_data_may_lie_elsewhere_if_its_checksum_is_known() -> None:
    old: dict[str, Any] = {"dataset": {"path": "a.jsonl"}, "seed": 1}
    new: dict[str, Any] = {"dataset": {"path": "/b/a.jsonl"}, "seed": 1, "resume": "run"}
    check_same_run(old, new, {"origin": {"data": "d", "tokenizer": "t"}})
    with pytest.raises(RunError, match=r"dataset\.path is '/b/a\.jsonl' but was 'a\.jsonl'"):
        check_same_run(old, new, {"origin": None})


def _optimizer(width: int = 3, kind: type[torch.optim.Optimizer] = torch.optim.Adam) -> torch.optim.Optimizer:
    module = nn.Linear(2, width)
    optimizer = kind(module.parameters(), lr=0.1)  # type: ignore[call-arg]
    module(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return optimizer


def test_the_state_of_another_optimizer_is_refused() -> None:
    restore_optimizer(_optimizer(), _optimizer().state_dict())
    with pytest.raises(ValueError, match=r"exp_avg has the shape \[4, 2\], its parameter \[3, 2\]"):
        restore_optimizer(_optimizer(), _optimizer(4).state_dict())
    with pytest.raises(ValueError, match="it is the state of another optimizer, without"):
        restore_optimizer(_optimizer(), _optimizer(kind=torch.optim.SGD).state_dict())


@pytest.mark.parametrize("change", [{"last_epoch": "x"}, {"base_lrs": [1.0, 2.0]}, {"_last_lr": 3}, None])
def test_the_state_of_another_schedule_is_refused(change: dict[str, Any] | None) -> None:
    schedule = torch.optim.lr_scheduler.ExponentialLR(_optimizer(), 0.9)
    state = schedule.state_dict()
    restore_schedule(schedule, state | {"step": "not a method"})
    assert callable(schedule.step)
    with pytest.raises((TypeError, KeyError)):
        restore_schedule(schedule, {} if change is None else state | change)


def test_whatever_does_not_fit_costs_one_line() -> None:
    message = "checkpoints/last: belongs to another run"
    with pytest.raises(RunError, match=message) as refused, restoring(Path("checkpoints/last")):
        nn.Linear(2, 3).load_state_dict(nn.Linear(3, 4).state_dict())
    assert "\n" not in str(refused.value)
