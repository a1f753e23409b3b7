"""Kill -9 at any moment: a resumed run ends with the same numbers as an uninterrupted run, bit by bit.

Sweeps are tested in `test_kill_sweep.py`.
"""

import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.faults

Start = Callable[..., Any]
Results = Callable[[Path], dict[str, object]]

KILLS = int(os.environ.get("METADIALOG_FAULTS_KILLS", "24"))
KILLS_OF_ONE_RUN = 3
# Moments in which something is being or has just been written, in addition to random ones.
FILES = (
    ".hydra/config.yaml",
    ".hydra/overrides.yaml",
    "config.yaml",
    "status.json",
    "metrics.jsonl",
    "checkpoints/.best.partial",
    "checkpoints/best",
    "checkpoints/.last.partial",
    "checkpoints/last",
    "model/.model.safetensors.partial",
    "model/config.json",
    ".adaptation.parquet.partial",
    "adaptation.parquet",
    "samples.jsonl",
)


@pytest.fixture(scope="module")
def undisturbed(start: Start, tiny: tuple[str, ...], read_results: Results) -> tuple[dict[str, object], float]:
    """The results of an uninterrupted run, and its duration in seconds."""
    for name in ("first", "whole"):  # the first fills the cache
        began = time.monotonic()
        process = start("train", *tiny, f"hydra.run.dir={start.folder / name}")  # type: ignore[attr-defined]
        assert process.wait() == 0, process.said()
    return read_results(start.folder / "whole"), time.monotonic() - began  # type: ignore[attr-defined]


def stamps(directory: Path) -> dict[str, int]:
    found = {}
    for name in FILES:
        try:
            found[name] = (directory / name).stat().st_mtime_ns
        except FileNotFoundError:
            continue
    return found


def until_moment(dice: random.Random, directory: Path, seconds: float) -> Iterator[str]:
    """Yield repeatedly until a condition holds."""
    if dice.random() < 0.4:
        moment = time.monotonic() + dice.uniform(0, seconds)
        while time.monotonic() < moment:
            yield f"{seconds:.1f} s at most"
        return
    name, before, delay = dice.choice(FILES), stamps(directory), dice.choice([0.0, 0.0, 0.002, 0.02])
    while stamps(directory).get(name) == before.get(name):
        yield name
    time.sleep(delay)


def begin(start: Start, tiny: tuple[str, ...], directory: Path) -> Any:  # noqa: ANN401
    """Act like a user: resume a run, and start it again if it says that there is nothing to resume."""
    if directory.exists():
        process = start("train", f"resume={directory}")
        time.sleep(0.01)
        while process.is_alive() and not directory.joinpath("config.yaml").exists():
            time.sleep(0.01)
        if process.is_alive() or "start it again" not in process.said():
            return process
        assert process.wait() == 2
    return start("train", *tiny, f"hydra.run.dir={directory}")


@pytest.mark.parametrize("number", range(-(-KILLS // KILLS_OF_ONE_RUN)))
def test_a_killed_run_ends_as_if_nothing_had_been(
    start: Start,
    tiny: tuple[str, ...],
    read_results: Results,
    undisturbed: tuple[dict[str, object], float],
    dice: random.Random,
    number: int,
) -> None:
    expected, seconds = undisturbed
    directory: Path = start.folder / f"killed-{number}"  # type: ignore[attr-defined]
    kills = 0
    while kills < KILLS_OF_ONE_RUN:
        process = begin(start, tiny, directory)
        moment = ""
        for moment in until_moment(dice, directory, seconds):  # noqa: B007 - said below
            if not process.is_alive():
                break
        if process.is_alive():
            process.kill()
            kills += 1
            print(f"run {number}, kill {kills}: {moment or 'at once'}")  # noqa: T201
        code = process.wait()
        assert code in (0, -9), process.said()
    process = begin(start, tiny, directory)
    assert process.wait() == 0, process.said()
    assert read_results(directory) == expected


def test_of_two_processes_one_is_killed_and_the_other_ends_by_itself(
    start: Start,
    tiny: tuple[str, ...],
    read_results: Results,
    undisturbed: tuple[dict[str, object], float],
    dice: random.Random,
) -> None:
    _, seconds = undisturbed
    options = (*tiny, "dtype=float64")  # the sum over processes has another order than the sum over tasks
    alone = start("train", *options, f"hydra.run.dir={start.folder / 'alone'}")  # type: ignore[attr-defined]
    assert alone.wait() == 0, alone.said()
    directory: Path = start.folder / "two"  # type: ignore[attr-defined]
    arguments: tuple[str, ...] = (*options, f"hydra.run.dir={directory}")
    for victim in (1, 0):
        with socket.create_server(("127.0.0.1", 0)) as server:
            meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(server.getsockname()[1]), "WORLD_SIZE": "2"}
        processes = [start("train", *arguments, **meeting, RANK=str(rank), LOCAL_RANK=str(rank)) for rank in (0, 1)]
        while not (directory / "checkpoints" / "last").exists():
            time.sleep(0.01)
        time.sleep(dice.uniform(0, seconds / 4))
        processes[victim].kill()
        assert processes[victim].wait() == -9
        assert processes[1 - victim].wait() == 2
        assert "another of the 2 processes of this run has ended" in processes[1 - victim].said()
        arguments = (f"resume={directory}",)
    process = start("train", *arguments)
    assert process.wait() == 0, process.said()
    expected, found = read_results(start.folder / "alone"), read_results(directory)  # type: ignore[attr-defined]
    for key in ("files", "status", "samples"):
        assert found[key] == expected[key]
    assert [m[:3] for m in found["metrics"]] == [m[:3] for m in expected["metrics"]]  # type: ignore[attr-defined]
    values = [[m[3] for m in of["metrics"]] for of in (found, expected)]  # type: ignore[attr-defined]
    assert values[0] == pytest.approx(values[1], rel=1e-10)
