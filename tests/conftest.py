"""What all tests share: real dialogues, and a command line run in a folder of its own."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from absl import logging as absl_logging

from metadialog import cli

# Several test processes share the cores: one thread each is faster than all of them fighting for all.
torch.set_num_threads(1)

# rouge-score brings absl, whose handler closes the stream that it was made with whenever logging is configured
# anew, as Hydra does. Here that stream would be pytest's own.
absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__

# These would be the developer's own settings, and not what a test is about.
_FOREIGN = ("HYDRA_FULL_ERROR", "METADIALOG_TRACEBACK", "WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL")


@dataclass(frozen=True)
class Outcome:
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def run_directory(self) -> Path:
        """The directory that the command named at its end."""
        lines = [line for line in self.out.splitlines() if line.startswith("run directory: ")]
        return Path(lines[-1].removeprefix("run directory: "))


Run = Callable[..., Outcome]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs `metadialog ARGUMENTS` in an empty working directory."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    for name in _FOREIGN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def command(*arguments: str) -> Outcome:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["metadialog"])
            environment = dict(os.environ)
            try:
                code = cli.main(list(arguments))
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else 1
            finally:
                os.environ.clear()
                os.environ.update(environment)
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return command
