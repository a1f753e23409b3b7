"""Kill -9 at any moment of a sweep: when started again, it ends with the trials of an uninterrupted one."""

import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.faults

Start = Callable[..., Any]
Results = Callable[[Path], dict[str, object]]

KILLS = int(os.environ.get("METADIALOG_FAULTS_SWEEP_KILLS", "8"))
# The third trial is the first that depends on the results of earlier ones. More threads would wait for each other
# while other programs use the cores.
OPTIONS = (
    "train", "-m", "sweep=optuna", "sweep.trials=4", "sweep.startup_trials=2", "sweep.prune_after_trials=2", "threads=1"
)  # fmt: skip


def trials(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "trials.jsonl").read_text().splitlines()]


def test_a_killed_sweep_ends_as_if_nothing_had_been(
    start: Start, tiny: tuple[str, ...], read_results: Results, dice: random.Random
) -> None:
    folder: Path = start.folder  # type: ignore[attr-defined]

    def begin(directory: Path) -> Any:  # noqa: ANN401
        return start(*OPTIONS, *tiny, "model.hidden_size=choice(8,16)", f"hydra.sweep.dir={directory}")

    began = time.monotonic()
    process = begin(folder / "whole-sweep")
    assert process.wait() == 0, process.said()
    seconds = time.monotonic() - began
    directory = folder / "killed-sweep"
    kills = 0
    while kills < KILLS:
        process = begin(directory)
        # At later and later moments, so that every part of the sweep is interrupted.
        moment = time.monotonic() + dice.uniform(0, seconds * (kills + 1) / KILLS)
        while process.is_alive() and time.monotonic() < moment:
            time.sleep(0.005)
        if not process.is_alive():
            break
        process.kill()
        kills += 1
        assert process.wait() == -9
    process = process if kills < KILLS else begin(directory)
    assert process.wait() == 0, process.said()
    print(f"sweep: {kills} kills")  # noqa: T201
    assert kills > 0
    whole = trials(folder / "whole-sweep")
    assert trials(directory) == whole
    assert len(whole) == 4
    for trial in whole:
        run = trial["directory"]
        if trial["state"] == "finished":
            assert read_results(directory / run) == read_results(folder / "whole-sweep" / run)
