"""Logging to Weights & Biases without a key or network, and with a failing server or service."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from metadialog.loggers import wandb_session
from metadialog.loggers.base import LoggedRun, Status
from metadialog.loggers.wandb import WandbLogger
from metadialog.loggers.wandb_session import Mode

Read = Callable[[Path], Any]
KEY = "k" * 40
PATIENCE = 60
"""Seconds after which a program is considered to hang; one that does would wait for hours."""


def open_logger(run_dir: Path, mode: Mode = "auto") -> WandbLogger:
    return WandbLogger(
        LoggedRun(run_dir, {}, "name"), title=None, project="p", entity=None, group=None, tags=[], mode=mode
    )


def log_and_finish(logger: WandbLogger) -> None:
    logger.log(1, "meta_train", {"loss": 0.5})
    logger.finish("finished")


def the_line(captured: pytest.CaptureFixture[str]) -> str:
    out, err = captured.readouterr()
    assert out == ""
    [line] = err.splitlines()
    return line


@pytest.fixture
def silent_server() -> Iterator[str]:
    """The address of a server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


class RunServer(BaseHTTPRequestHandler):
    """The part of a W&B server that a run needs to start; other requests are never answered."""

    accepts_runs = True
    over = threading.Event()

    def do_HEAD(self) -> None:
        self.send_error(404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        request = json.loads(body) if self.path == "/graphql" else {}
        query = request.get("query", "")
        data: dict[str, object]
        if self.accepts_runs and "RunResumeStatus" in query:
            data = {"model": None}
        elif self.accepts_runs and "upsertBucket" in query:
            project = {"id": "1", "name": "p", "entity": {"id": "2", "name": "e"}}
            bucket = {
                "id": "3",
                "name": request["variables"]["name"],
                "displayName": "name",
                "project": project,
            }
            data = {"upsertBucket": {"bucket": bucket, "inserted": True}}
        else:
            self.over.wait()
            return
        answer = json.dumps({"data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        del format, args


@pytest.fixture
def run_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server that lets runs start, and then no longer answers."""
    monkeypatch.setattr(RunServer, "over", threading.Event())
    server = ThreadingHTTPServer(("127.0.0.1", 0), RunServer)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that have disconnected
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    RunServer.over.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("mode", ["auto", "online"])
def test_without_a_key_it_is_offline_and_says_so_in_one_line(
    tmp_path: Path, mode: Mode, read_wandb: Read, capfd: pytest.CaptureFixture[str]
) -> None:
    log_and_finish(open_logger(tmp_path / "run", mode))
    assert the_line(capfd).startswith("W&B is offline: no API key (set WANDB_API_KEY, or run `wandb login`)")
    assert len(read_wandb(tmp_path / "run").history) == 1


def test_a_key_of_the_wrong_form_is_named(
    tmp_path: Path, read_wandb: Read, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "short")
    log_and_finish(open_logger(tmp_path / "run"))
    assert "API key must have 40+ characters" in the_line(capfd)
    assert len(read_wandb(tmp_path / "run").history) == 1


@pytest.mark.parametrize("mode", ["auto", "online"])
def test_with_a_key_from_netrc_and_no_server_it_is_offline(
    tmp_path: Path,
    mode: Mode,
    read_wandb: Read,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # a free port on which nothing listens
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
    Path(os.environ["NETRC"]).write_text(f"machine 127.0.0.1:{port}\n  login user\n  password {KEY}\n")
    Path(os.environ["NETRC"]).chmod(0o600)
    start = time.monotonic()
    log_and_finish(open_logger(tmp_path / "run", mode))
    assert time.monotonic() - start < PATIENCE
    assert the_line(capfd).startswith(f"W&B is offline: no network, or no server at http://127.0.0.1:{port} (")
    assert len(read_wandb(tmp_path / "run").history) == 1


PROGRAM = """
import os, signal, sys
from pathlib import Path
from metadialog.loggers import wandb_session
from metadialog.loggers.base import LoggedRun
from metadialog.loggers.wandb import WandbLogger

wandb_session.PROBE_SECONDS = 0.5
run = LoggedRun(Path(sys.argv[1]), {}, "name")
logger = WandbLogger(run, title=None, project="p", entity=None, group=None, tags=[], mode=sys.argv[2])
logger.log(1, "meta_train", {"loss": 0.5})
"""
STOP_THE_SERVICE = """
import wandb

for name in ("FINISH_SECONDS", "GRACE_SECONDS", "SERVICE_SECONDS"):
    setattr(wandb_session, name, 0.3)
process = wandb.setup()._connection._proc._process.pid
print(process, flush=True)
os.kill(process, signal.SIGSTOP)
"""
FINISH = "logger.finish('finished')"


def run_program(*parts: str, run_dir: Path, mode: str) -> tuple[list[str], list[str]]:
    """Run a program to its end; return the lines of its stdout and of its stderr."""
    out, err = run_dir.with_name("out"), run_dir.with_name("err")
    # Files instead of pipes: a service that outlives the program would keep a pipe open.
    with out.open("w") as stdout, err.open("w") as stderr:
        command = [sys.executable, "-c", "".join(parts), str(run_dir), mode]
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, timeout=PATIENCE, check=True)
    return out.read_text().splitlines(), err.read_text().splitlines()


def test_a_server_that_never_answers_costs_seconds_to_the_very_end_of_the_program(
    tmp_path: Path, silent_server: str, read_wandb: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", silent_server)
    out, [line] = run_program(PROGRAM, FINISH, run_dir=tmp_path / "run", mode="auto")
    assert out == []
    assert line.startswith(f"W&B is offline: no answer from {silent_server} within 0.5 s; ")
    assert len(read_wandb(tmp_path / "run").history) == 1


def test_a_server_that_does_not_take_the_run_costs_seconds(
    tmp_path: Path,
    run_server: str,
    read_wandb: Read,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", run_server)
    monkeypatch.setattr(RunServer, "accepts_runs", False)
    monkeypatch.setattr(wandb_session, "INIT_SECONDS", 1.0)
    start = time.monotonic()
    log_and_finish(open_logger(tmp_path / "run"))
    assert time.monotonic() - start < PATIENCE
    line = the_line(capfd)
    assert line.startswith("W&B is offline: ")
    assert "CommError" in line
    # The failed attempt leaves no incomplete run beside the offline one.
    assert len(read_wandb(tmp_path / "run").history) == 1


def test_a_server_that_falls_silent_cannot_hold_the_end_of_the_run(
    tmp_path: Path,
    run_server: str,
    read_wandb: Read,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", run_server)
    monkeypatch.setattr(wandb_session, "FINISH_SECONDS", 1.0)
    logger = open_logger(tmp_path / "run")
    [directory] = (tmp_path / "run" / "wandb").glob("run-*")
    start = time.monotonic()
    log_and_finish(logger)
    assert time.monotonic() - start < PATIENCE
    assert f"`wandb sync {directory}`" in the_line(capfd)
    assert len(read_wandb(tmp_path / "run").history) == 1


@pytest.mark.parametrize("status", ["finished", "interrupted"])
def test_a_server_that_goes_away_in_mid_run_is_said_once_and_loses_nothing(
    tmp_path: Path,
    read_wandb: Read,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    status: Status,
) -> None:
    monkeypatch.setattr(RunServer, "over", threading.Event())
    server = ThreadingHTTPServer(("127.0.0.1", 0), RunServer)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that have disconnected
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(wandb_session, "FINISH_SECONDS", 1.0)
    monkeypatch.setattr(wandb_session, "HURRIED_FINISH_SECONDS", 5.0)
    try:
        logger = open_logger(tmp_path / "run")
        [directory] = (tmp_path / "run" / "wandb").glob("run-*")
        logger.log(1, "meta_train", {"loss": 0.5})
    finally:
        RunServer.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
    for step in (2, 3, 4):
        logger.log(step, "meta_train", {"loss": 0.5})
    start = time.monotonic()
    logger.finish(status)
    assert time.monotonic() - start < PATIENCE
    assert f"`wandb sync {directory}`" in the_line(capfd)
    assert [row["meta_step"] for row in read_wandb(tmp_path / "run").history] == [1, 2, 3, 4]


def kill_the_service() -> None:
    import wandb

    connection: Any = wandb.setup()._connection
    process: subprocess.Popen[bytes] = connection._proc._process
    process.kill()
    process.wait()


def test_a_service_that_dies_is_said_once_and_the_run_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    logger = open_logger(tmp_path / "run", "offline")
    kill_the_service()
    start = time.monotonic()
    while not logger.failed and time.monotonic() - start < PATIENCE:
        logger.log(1, "meta_train", {"loss": 0.5})
        time.sleep(0.05)
    logger.log_adaptation(pd.DataFrame())
    logger.log_samples([])
    logger.finish("finished")
    assert time.monotonic() - start < PATIENCE
    line = the_line(capfd)
    assert line.startswith("W&B ")
    assert "Error" in line
    assert line.endswith("the files in the run directory hold everything")


def test_a_service_that_stands_still_cannot_hold_the_end_of_the_program(tmp_path: Path) -> None:
    try:
        _, [line] = run_program(PROGRAM, STOP_THE_SERVICE, FINISH, run_dir=tmp_path / "run", mode="offline")
    finally:
        os.kill(int((tmp_path / "out").read_text()), signal.SIGKILL)
    assert line.startswith("W&B has not uploaded all; `wandb sync ")


def test_a_directory_that_cannot_be_written_is_said_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "wandb").write_text("a file where the directory should be")
    log_and_finish(open_logger(tmp_path / "run", "offline"))
    line = the_line(capfd)
    assert line.startswith("W&B cannot start (")
    assert "Error" in line


def test_a_value_that_wandb_refuses_does_not_stop_the_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], read_wandb: Read
) -> None:
    logger = open_logger(tmp_path / "run", "offline")
    logger.log(1, "meta_train", {"loss": 0.5})
    logger.log_model(tmp_path / "nowhere")
    logger.log_model(tmp_path / "nowhere")
    logger.finish("finished")
    assert the_line(capfd).startswith("W&B fails (ValueError: ")
    run = read_wandb(tmp_path / "run")
    assert len(run.history) == 1
    assert run.exit_code == 0
