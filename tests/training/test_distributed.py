"""Real processes over Gloo: any number of processes gives the result of one, and none hangs."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from metadialog.errors import LostError
from metadialog.training import distributed
from metadialog.training.distributed import ALONE, Ranks
from metadialog.training.launch import RankInfo

MAML = {"inner_lr": 0.3, "inner_steps": 2, "first_order": False}
# name, algorithm, its options, tasks of a meta-batch
ALGORITHMS: dict[str, tuple[str, dict[str, object], int]] = {
    "mean": ("maml.MAML", {**MAML, "reduction": "mean"}, 5),
    "sum": ("maml.MAML", {**MAML, "reduction": "sum"}, 4),
    "learned": ("meta_sgd.MetaSGD", {**MAML, "reduction": "mean"}, 3),
    "reptile": ("reptile.Reptile", {"inner_lr": 0.3, "inner_steps": 2, "dialogues": "all", "minibatch": 2}, 3),
    "joint": ("baselines.FineTuning", {"inner_lr": 0.1, "inner_steps": 1}, 5),
}
NAN = {"sum": "nan skip humor"}  # the tasks of one topic have non-finite gradients, and are left out
DIVERGING = ("nan stop humor", "nan skip all")  # there is nothing to resume
RANKS = (1, 2, 4)  # the last one has more processes than some meta-batches have tasks
# Faults in three processes: one raises an error, one is killed, and the main process raises an error while another is
# busy; all are terminated as soon as the third has noticed, as by `torchrun`.
FAULTS = ("fails", "dies", "keeper")
# Seconds within which a process must notice that another has ended; otherwise it would wait for an hour.
PATIENCE = 60


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder of all trainings, and the output of the program."""
    folder = tmp_path_factory.mktemp("ranks")
    jobs = [
        [f"{name}-{ranks}", ranks, algorithm, options, meta_batch, NAN.get(name)]
        for name, (algorithm, options, meta_batch) in ALGORITHMS.items()
        for ranks in RANKS
    ]
    jobs += [[fault, 2, *ALGORITHMS["mean"], fault] for fault in DIVERGING]
    jobs += [[fault, 3, *ALGORITHMS["mean"], fault] for fault in FAULTS]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    program = Path(__file__).with_name("ranks_program.py")
    command = [sys.executable, str(program), str(folder), json.dumps(jobs), str(port)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stderr
    return folder, result.stdout.splitlines()


def metrics(folder: Path) -> dict[tuple[int, str], float]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {(m["step"], m["name"]): m["value"] for m in lines if m["name"] != "tasks_per_second"}


@pytest.mark.parametrize("ranks", RANKS[1:])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_any_number_of_processes_gives_what_one_gives(done: tuple[Path, list[str]], name: str, ranks: int) -> None:
    folder, _ = done
    expected, found = (torch.load(folder / f"{name}-{n}.pt", weights_only=True) for n in (1, ranks))
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-10, atol=1e-10)
    assert metrics(folder / f"{name}-{ranks}") == pytest.approx(metrics(folder / f"{name}-1"), rel=1e-10)


def test_training_changes_something_and_the_algorithms_differ(done: tuple[Path, list[str]]) -> None:
    folder, _ = done
    weights = [torch.load(folder / f"{name}-1.pt", weights_only=True)["linear.weight"] for name in ALGORITHMS]
    assert not any(torch.allclose(a, b) for a, b in zip(weights, [*weights[1:], weights[0]], strict=True))


def test_all_processes_end_cleanly(done: tuple[Path, list[str]]) -> None:
    outcomes: list[Any] = [json.loads(line) for line in done[1] if line.startswith("[")]
    failing = len(DIVERGING) + len(FAULTS)
    assert len(outcomes) == len(ALGORITHMS) * len(RANKS[1:]) + failing
    assert all(set(codes) == {0} for _, codes, _ in outcomes[:-failing])


@pytest.mark.parametrize(
    ("fault", "codes", "said"),
    [
        ("fails", [2, 2, 2], "rank 1 has a reason"),
        ("dies", [2, 9, 2], "another of the 3 processes of this run"),
        ("keeper", [-15, 2, -15], "rank 0 has a reason"),
        # Any of the processes may report it; the message names a non-finite task and its step.
        ("nan stop humor", [2, 2], r"training diverged at step \d: .*; task \d of topic 'humor': its losses"),
        ("nan skip all", [2, 2], r"training diverged at step 1: meta-loss nan, .*; task 0 of topic '\w+': "),
    ],
)
def test_an_error_in_one_process_ends_all_with_one_line(
    done: tuple[Path, list[str]], fault: str, codes: list[int], said: str
) -> None:
    lines = done[1]
    [place] = [number for number, line in enumerate(lines) if line.startswith(f'["{fault}"')]
    assert json.loads(lines[place])[1] == codes
    assert json.loads(lines[place])[2] < PATIENCE
    assert re.match(said, lines[place - 1]), lines[place - 1]
    assert lines[place - 2].startswith("[")


@pytest.mark.parametrize("has_heard", [True, False])
def test_who_comes_when_the_notes_are_gone_speaks_only_if_it_knows_of_nobody_who_has(
    monkeypatch: pytest.MonkeyPatch, *, has_heard: bool
) -> None:
    monkeypatch.setattr(distributed, "GRACE_SECONDS", 0)
    notes: list[Any] = [TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)]
    late = Ranks(RankInfo(1, 2, 1), TCPStore("127.0.0.1", notes[0].port, is_master=False))
    if has_heard:
        with Ranks(RankInfo(1, 3, 1), notes[0]).failing() as is_first_to_fail:
            assert is_first_to_fail
        with pytest.raises(LostError):
            late.hear("arguments")
    notes.clear()
    with late.failing() as is_first_to_fail:
        assert is_first_to_fail is not has_heard


def test_in_one_process_there_is_nothing_to_share() -> None:
    assert [1, 2, 3][ALONE.part_of(3)] == [1, 2, 3]
    assert ALONE.collect({0: "a"}) == {0: "a"}
    assert ALONE.share(lambda: "made") == "made"
    with ALONE.failing() as is_first_to_fail:
        assert is_first_to_fail
