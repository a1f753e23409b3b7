import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from metadialog.errors import ConfigError
from metadialog.loggers.base import LoggedRun
from metadialog.loggers.trackio import TrackioLogger


def test_what_is_logged_can_be_read_back_and_a_resumed_run_goes_on(tmp_path: Path) -> None:
    program = Path(__file__).with_name("trackio_program.py")
    environment = os.environ | {"TRACKIO_DIR": str(tmp_path / "trackio")}
    done = subprocess.run(
        [sys.executable, program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    [line] = done.stdout.splitlines()  # without the lines that trackio prints
    read = json.loads(line)
    assert read["run"] == read["id"]
    assert read["run"].startswith("a run ")
    assert read["seed"] == 3
    losses = [(one["step"], one["meta_train/loss"]) for one in read["logs"] if "meta_train/loss" in one]
    assert losses == [(1, 1.0), (2, 0.5)]
    assert not any("meta_train/bad" in one for one in read["logs"])
    assert sum("samples" in one for one in read["logs"]) == 2


def test_without_trackio_the_extra_is_named(without: object, tmp_path: Path) -> None:
    without("trackio")  # type: ignore[operator]
    with pytest.raises(ConfigError, match=r"metadialog\[trackio\]"):
        TrackioLogger(LoggedRun(tmp_path, {}, "a run"), project="dialogues")
