from pathlib import Path

import pytest

from metadialog.cache.entries import cache_directory
from metadialog.errors import ConfigError


def test_the_option_then_the_variable_then_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METADIALOG_CACHE", str(tmp_path / "variable"))
    assert cache_directory("here") == tmp_path / "here"
    assert cache_directory(None) == tmp_path / "variable"
    monkeypatch.delenv("METADIALOG_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_directory() in (tmp_path / "xdg" / "metadialog", Path.home() / "Library" / "Caches" / "metadialog")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_directory("~/x") == tmp_path / "home" / "x"
    with pytest.raises(ConfigError, match="there is no such home folder"):
        cache_directory("~nobody-at-all/x")
