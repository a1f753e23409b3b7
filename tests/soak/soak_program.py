"""A soak test: one process trains, validates, logs and evaluates for half an hour, with bounded memory and files.

Each round resumes a run for some outer steps with validation, logging and evaluation, and evaluates the model again.
After a third of the time, in which caches fill, memory may grow by 2 %, and the number of open files may not grow.

    make soak SECONDS=1800
"""

import argparse
import contextlib
import gc
import io
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import torch

from metadialog.experiment.compose import compose

STEPS = 20
TINY = (
    *("debug=smoke", "logger=tensorboard", "training.validate_every=5", "training.meta_batch=4", "evaluation.steps=2"),
    *("model.hidden_size=32", "model.embedding_size=32", "evaluation.report_steps=[0,2]"),
)
MOST_GROWTH = 0.02


def measure() -> tuple[int, int]:
    """Return the resident memory of this process in KiB, and its number of open files."""
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") // 1024
    return resident, len(list(Path("/proc/self/fd").iterdir()))


def one_round(folder: Path, number: int) -> None:
    """Train some more steps, and evaluate twice."""
    overrides = [*TINY, f"training.steps={STEPS * (number + 1)}", *([f"resume={folder / 'run'}"] if number else [])]
    run = compose("train", overrides).run(folder / "run")
    run.evaluate([], folder / "evaluation")
    shutil.rmtree(folder / "evaluation")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800)
    seconds = parser.parse_args().seconds
    torch.set_num_threads(1)
    began, said = time.monotonic(), io.StringIO()
    measured: list[tuple[float, int, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() - began < seconds:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                one_round(Path(folder), len(measured))
            said.seek(0)
            said.truncate()
            measured.append((time.monotonic() - began, *measure()))
            print("{:6.0f} s  round {}  {:,} KiB  {} files".format(
                measured[-1][0], len(measured), *measured[-1][1:]), flush=True)  # fmt: skip
    settled = [(kib, files) for at, kib, files in measured if at > seconds / 3]
    middle, end = settled[: len(settled) // 2], settled[len(settled) // 2 :]
    if not middle:
        print("too few rounds to compare")
        return 1
    memory = [sum(kib for kib, _ in part) / len(part) for part in (middle, end)]
    files = {count for _, count in settled}
    growth = memory[1] / memory[0] - 1
    print(f"{len(measured)} rounds of {STEPS} steps: memory {growth:+.2%}, files open {sorted(files)}")
    return int(growth > MOST_GROWTH or len(files) > 1)


if __name__ == "__main__":
    sys.exit(main())
