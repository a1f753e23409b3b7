import json
import shlex
from pathlib import Path

import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser

import metadialog
from metadialog.errors import RunError, Terminated
from metadialog.runs.atomic import write_atomically
from metadialog.runs.run_directory import RunDirectory


def test_the_status_tells_the_whole_life_of_a_run(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    with run.running({"seed": 3}, "metadialog train seed=3"):
        status = run.read_status()
        assert (status["status"], status["ended"]) == ("running", None)
        assert status["seeds"] == {"seed": 3}
        assert status["command"] == "metadialog train seed=3"
        assert status["versions"]["metadialog"] == metadialog.__version__
        assert torch.__version__.startswith(status["versions"]["torch"])
        with pytest.raises(RunError, match="is running, not finished"):
            run.check_finished()
    status = run.read_status()
    assert status["status"] == "finished"
    assert status["started"] <= status["ended"]
    run.check_finished()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RunError("training diverged"), "RunError: training diverged"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (SystemExit(3), "SystemExit: 3"),
        (Terminated("by signal 15"), "Terminated: by signal 15"),
    ],
)
def test_a_failure_is_written_with_its_reason(tmp_path: Path, error: BaseException, reason: str) -> None:
    run = RunDirectory(tmp_path)
    with pytest.raises(type(error)), run.running({}, "metadialog train"):
        raise error
    status = run.read_status()
    assert (status["status"], status["reason"]) == ("failed", reason)


@pytest.mark.parametrize("text", ["{}", "[]", "3"])
def test_a_status_that_says_nothing_costs_one_line(tmp_path: Path, text: str) -> None:
    run = RunDirectory(tmp_path)
    run.status.write_text(text)
    with pytest.raises(RunError, match=r"no status of a run: it should be an object with the key status$"):
        run.check_finished()


def test_what_is_said_of_an_unfinished_run_can_be_pasted(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "one, two (3)")
    with run.running({}, "metadialog train"), pytest.raises(RunError) as caught:
        run.check_finished()
    (pasted,) = shlex.split(str(caught.value).rpartition("go on with it by ")[2])
    override = OverridesParser.create().parse_override(pasted)
    assert (override.key_or_group, override.value()) == ("resume", str(run.path))


@pytest.mark.parametrize("text", ["", "{", "\xff"])
def test_a_damaged_status_costs_one_line(tmp_path: Path, text: str) -> None:
    run = RunDirectory(tmp_path)
    run.status.write_text(text, encoding="latin-1")
    with pytest.raises(RunError, match="no readable status of a run"):
        run.read_status()
    with pytest.raises(RunError, match="no readable status of a run"):
        RunDirectory(tmp_path / "nowhere").read_status()


def test_the_config_comes_back_as_it_was(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    config = {"model": {"cell": "gru", "dropout": 1e-05, "parts": [1, 2]}, "path": "a: b # c", "none": None}
    run.write_config(config)
    assert run.read_config() == config


def test_a_write_that_breaks_off_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    write_atomically(path, json.dumps({"status": "running"}))
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "x" * 100 + "\ud800")
    assert json.loads(path.read_text()) == {"status": "running"}
