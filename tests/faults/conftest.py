"""Runs as processes that can be killed, and the content of their directories."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

# Seconds without new output, and in total, after which a run is considered to hang.
PATIENCE = 300
LONGEST = 3600
TINY = (
    "debug=smoke",
    "logger=local",
    "model=lstm",
    "training.steps=12",
    "training.validate_every=3",
    "schedule=cosine",
    "evaluation.shots=[1,3]",
)


@dataclass
class Process:
    """A running process."""

    number: int
    output: Path
    starter: "Starter"

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        os.kill(self.number, number)

    def is_alive(self) -> bool:
        """Whether it is running; an ended process remains until its exit code is read."""
        state = Path(f"/proc/{self.number}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"

    def wait(self) -> int:
        """Return its exit code, negative if it was ended by a signal."""
        began = heard = time.monotonic()
        said = ""
        while self.is_alive():
            now = time.monotonic()
            if self.said() != said:
                said, heard = self.said(), now
            assert now < min(heard + PATIENCE, began + LONGEST), f"it hangs:\n{said}"
            time.sleep(0.01)
        return self.starter.ask({"wait": self.number})

    def said(self) -> str:
        return self.output.read_text() if self.output.exists() else ""


class Starter:
    """Starts `metadialog` in forked processes, which have imported everything."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = 0
        program = Path(__file__).with_name("runs_program.py")
        foreign = ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL")
        environment = {name: value for name, value in os.environ.items() if name not in foreign}
        self._program = subprocess.Popen(
            [sys.executable, str(program), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self, request: dict[str, Any]) -> int:
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(json.dumps(request) + "\n")
        self._program.stdin.flush()
        return int(self._program.stdout.readline())

    def __call__(self, *arguments: str, **environment: str) -> Process:
        self._count += 1
        output = self.folder / f"{self._count}.txt"
        request = {"arguments": arguments, "environment": environment, "output": str(output)}
        return Process(self.ask(request), output, self)

    def close(self) -> None:
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.close()
        self._program.wait(PATIENCE)
        self._program.stdout.close()


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    """A function that starts `metadialog ARGUMENTS` and returns the process."""
    starter = Starter(tmp_path_factory.mktemp("runs"))
    yield starter
    starter.close()


@pytest.fixture(scope="session")
def tiny() -> tuple[str, ...]:
    """Options of a run that uses everything and takes seconds."""
    return TINY


@pytest.fixture(scope="session")
def dice() -> random.Random:
    """The generator of all random moments; its seed is printed, and can be given."""
    seed = int(os.environ.get("METADIALOG_FAULTS_SEED") or random.SystemRandom().randrange(2**32))
    print(f"\nMETADIALOG_FAULTS_SEED={seed}")  # noqa: T201
    return random.Random(seed)


def results(directory: Path) -> dict[str, object]:
    """Return the results of a run, without times and durations."""
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    records = pd.read_parquet(directory / "adaptation.parquet")
    selection = directory / "selection.json"
    return {
        "selection": selection.read_text() if selection.exists() else None,
        "metrics": [(m["step"], m["split"], m["name"], m["value"]) for m in lines if m["name"] != "tasks_per_second"],
        "records": records.to_json(double_precision=15),
        "losses": [value.hex() for value in records["loss"]],
        "samples": (directory / "samples.jsonl").read_bytes(),
        "model": (directory / "model" / "model.safetensors").read_bytes(),
        "status": json.loads((directory / "status.json").read_text())["status"],
        "files": sorted(str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file()),
    }


@pytest.fixture(scope="session")
def read_results() -> Callable[[Path], dict[str, object]]:
    """A function that reads the results of a finished run."""
    return results
