"""Full and read-only disks: small ones that are mounted for the test."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch

Run = Callable[..., Any]
BeforeStep = Callable[[Callable[[int], None]], AbstractContextManager[None]]
OPTIONS = ("debug=smoke", "logger=local", "training.steps=6", "training.validate_every=1")


def mounted(folder: Path, options: str) -> bool:
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def unmount(folder: Path) -> None:
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB."""
    folder = tmp_path / "disk"
    if not mounted(folder, "size=2m"):
        pytest.skip("only root may mount a small disk")
    yield folder
    unmount(folder)


def fill(disk: Path) -> None:
    """Fill the disk completely."""
    with (disk / "filler").open("wb", buffering=0) as file:
        for size in (1 << 16, 1):
            while True:
                try:
                    file.write(b"x" * size)
                except OSError:
                    break


def found_out(directory: Path) -> list[tuple[object, ...]]:
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [(m["step"], m["name"], m["value"]) for m in lines if m["name"] != "tasks_per_second"]


def exported(directory: Path) -> bytes:
    return (directory / "model" / "model.safetensors").read_bytes()


def step_of(checkpoint: Path) -> int:
    return int(torch.load(checkpoint, weights_only=True)["standing"]["step"])


def test_a_disk_that_is_full_for_a_while_costs_nothing(run: Run, disk: Path, before_step: BeforeStep) -> None:
    whole = run("train", *OPTIONS).run_directory

    def hook(step: int) -> None:
        if step == 3:
            fill(disk)
        if step == 5:
            (disk / "filler").unlink()

    with before_step(hook):
        outcome = run("train", *OPTIONS, f"hydra.run.dir={disk / 'run'}")
    assert outcome.code == 0, outcome.err
    said = [line.partition("No space left on device)")[2] for line in outcome.out.splitlines()]
    assert said.count(": the run continues, but could only be resumed from an earlier checkpoint") == 1
    assert said.count(": its lines wait in memory") <= 1  # they may fit into the last block of the file
    assert found_out(disk / "run") == found_out(whole)
    assert exported(disk / "run") == exported(whole)


def test_a_disk_that_stays_full_leaves_what_was_written(run: Run, disk: Path, before_step: BeforeStep) -> None:
    whole = run("train", *OPTIONS).run_directory

    def hook(step: int) -> None:
        if step == 3:
            fill(disk)

    with before_step(hook):
        outcome = run("train", *OPTIONS, f"hydra.run.dir={disk / 'run'}")
    assert outcome.code == 2
    assert outcome.err.startswith("metadialog train: ")
    assert "No space left on device" in outcome.err
    assert outcome.err.count("\n") == 1
    assert "trained 6 steps" in outcome.out
    assert step_of(disk / "run" / "checkpoints" / "last") == 2
    assert not list((disk / "run").rglob(".*.partial"))
    (disk / "filler").unlink()
    resumed = run("train", f"resume={disk / 'run'}")
    assert resumed.code == 0, resumed.err
    assert found_out(disk / "run") == found_out(whole)
    assert exported(disk / "run") == exported(whole)


def test_checkpoints_that_cannot_be_written_do_not_stop_the_run(run: Run, disk: Path, before_step: BeforeStep) -> None:
    whole = run("train", *OPTIONS).run_directory
    checkpoints = disk / "run" / "checkpoints"

    def hook(step: int) -> None:
        if step == 3:
            assert mounted(checkpoints, "ro,size=64k")

    try:
        with before_step(hook):
            outcome = run("train", *OPTIONS, f"hydra.run.dir={disk / 'run'}")
    finally:
        unmount(checkpoints)
    assert outcome.code == 0, outcome.err
    assert outcome.out.count("Read-only file system") == 1
    # The best model is that of the last step, and was never on the disk.
    assert exported(disk / "run") == exported(whole)
    assert step_of(checkpoints / "last") == 2


def test_a_read_only_directory_is_refused_in_one_line(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    if not mounted(folder, "ro,size=64k"):
        pytest.skip("only root may mount a read-only disk")
    try:
        outcome = run("train", *OPTIONS, f"hydra.run.dir={folder / 'run'}")
    finally:
        unmount(folder)
    assert outcome.code == 2
    assert outcome.err == f"metadialog train: [Errno 30] Read-only file system: '{folder / 'run'}'\n"
