"""Storages of studies: URLs, passwords, missing clients, and unreachable servers."""

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import optuna
import pytest
from fakeredis import TcpFakeServer

from metadialog.errors import ConfigError
from metadialog.sweeps.storage import absolute, check_url, hide_password, open_storage, sqlite_url


@pytest.mark.parametrize("url", ["study.db", "sqlite://", "ftp://host/x", "sqlite:///no/such/folder/x.db"])
def test_what_is_no_storage_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"sweep\.storage="):
        check_url(url)


@pytest.mark.parametrize(("url", "package"), [("redis://h", "redis"), ("postgresql://h/d", "psycopg")])
def test_a_client_that_is_missing_is_named(url: str, package: str, without: Callable[[str], None]) -> None:
    check_url(url)
    without(package)
    with pytest.raises(ConfigError, match=rf"{package} is not installed; pip install 'metadialog\["):
        check_url(url)


@pytest.mark.parametrize("scheme", ["redis", "postgresql"])
def test_a_server_that_is_not_there_is_one_line_without_the_password(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConfigError, match="cannot be reached") as caught:
        open_storage(f"{scheme}://me:secret@127.0.0.1:{port}/0")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_text("This is not a database, but a text that is long enough to be taken for one." * 20)
    with pytest.raises(ConfigError, match="cannot be reached"):
        open_storage(sqlite_url(path))


def test_passwords_are_hidden() -> None:
    text = "metadialog train sweep.storage=postgresql://me:s3cret@host/db sweep.trials=3"
    assert hide_password(text) == "metadialog train sweep.storage=postgresql://me:***@host/db sweep.trials=3"
    assert hide_password("redis://host:6379/0") == "redis://host:6379/0"


def test_relative_files_are_the_same_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("sqlite:///a.db") == f"sqlite:///{tmp_path / 'a.db'}"
    assert absolute("redis://h") == "redis://h"


def test_two_machines_share_a_study_through_redis() -> None:
    server = TcpFakeServer(("127.0.0.1", 0), server_type="redis")
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        url = f"redis://127.0.0.1:{server.server_address[1]}/0"
        first = optuna.create_study(storage=open_storage(url), study_name="shared")
        first.add_trial(optuna.trial.create_trial(value=1.0))
        second = optuna.load_study(storage=open_storage(url), study_name="shared")
        assert [trial.value for trial in second.trials] == [1.0]
    finally:
        server.shutdown()
        server.server_close()


def test_several_processes_may_begin_at_once_on_an_empty_database(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "new.db")
    script = f"from metadialog.sweeps.storage import open_storage; print(open_storage({url!r}).get_all_studies())"
    command = [sys.executable, "-c", script]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(4)
    ]
    assert [process.communicate(timeout=120)[0].splitlines()[-1] for process in processes] == ["[]"] * 4
