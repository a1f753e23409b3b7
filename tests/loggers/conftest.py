"""Fixtures: an environment without the developer's key, settings and network."""

import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hide the developer's key, settings and network, and change to a read-only working directory."""
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    with mock.patch.dict(os.environ):
        for name in [name for name in os.environ if name.startswith("WANDB_") or name.lower().endswith("_proxy")]:
            del os.environ[name]
        os.environ["HOME"] = os.environ["USERPROFILE"] = str(home)
        os.environ["NETRC"] = str(home / ".netrc")
        os.environ["WANDB_BASE_URL"] = "http://127.0.0.1:9"  # nothing answers there
        yield
    assert not list(here.iterdir())
