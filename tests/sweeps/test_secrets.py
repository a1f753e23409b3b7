"""No file contains passwords of storages."""

import json
from pathlib import Path

import pytest

from metadialog.errors import ConfigError
from metadialog.sweeps.directory import SweepDirectory
from metadialog.sweeps.storage import STORAGE, check_url, hide_password, known_url
from metadialog.sweeps.trial import NoTrial, load_trial, write_trial

URLS = [
    "redis://user:s3cr3t@host:6379/0",
    "redis://user:p@ss:s3cr3t@host:6379/0",
    "postgresql://user:s3cr3t/with@slash@host/db",
    "redis://host:6379/0?password=s3cr3t",
    "redis://host:6379/0?db=1&password=s3cr3t&ssl=true",
    "postgresql://host/db?user=me&sslpassword=s3cr3t",
    "https://host/api?api_key=s3cr3t",
]


@pytest.mark.parametrize("url", URLS)
def test_no_file_holds_a_password(tmp_path: Path, url: str) -> None:
    SweepDirectory(tmp_path).write(
        {"arguments": [f"sweep.storage={url}", "seed=1"], "hydra": [], "config_sources": [], "folder": "/"}
    )
    write_trial(tmp_path / "0", url, "study", 3, {"kind": "none", "trials": 0, "step": 0})
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"s3cr3t" not in written
    assert b"p@ss" not in written
    assert json.loads((tmp_path / "sweep.json").read_text())["arguments"][1] == "seed=1"
    assert "s3cr3t" not in hide_password(f"connecting to {url} failed")


def test_a_url_without_its_password_asks_for_it() -> None:
    with pytest.raises(ConfigError, match="the password is kept in no file; give the whole URL once more"):
        check_url(hide_password(URLS[0]))


def test_a_run_finds_the_url_of_the_sweep_that_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(STORAGE, raising=False)
    assert known_url(hide_password(URLS[1])) is None
    monkeypatch.setenv(STORAGE, URLS[1])
    assert known_url(hide_password(URLS[1])) == URLS[1]
    assert known_url(hide_password(URLS[2])) is None


def test_a_planted_trial_opens_no_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(STORAGE, raising=False)
    planted = tmp_path / "planted.db"
    for url in (f"sqlite:///{planted}", "redis://localhost:1/0", f"sqlite:///{tmp_path}/elsewhere/study.db"):
        write_trial(tmp_path / "run", url, "study", 0, {"kind": "none", "trials": 0, "step": 0})
        assert isinstance(load_trial(tmp_path / "run"), NoTrial)
        assert "names a storage that this run was not started with" in caplog.text
        caplog.clear()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
