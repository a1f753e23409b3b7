import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

from metadialog.errors import ConfigError
from metadialog.extras import need
from metadialog.tokenizers.chinese_word import ChineseWordTokenizer


class Without(MetaPathFinder):
    """Makes Python believe that a package is not installed."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == self.package:
            raise ModuleNotFoundError(fullname)
        return None


def test_what_is_installed_is_enough() -> None:
    need("json", "chinese", "tokenizer=jieba")


def test_a_missing_library_costs_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "jieba", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Without("jieba"), *sys.meta_path])
    with pytest.raises(ConfigError) as caught:
        ChineseWordTokenizer(vocab_size=500)
    message = "tokenizer=jieba: the package jieba is not installed; pip install 'metadialog[chinese]'"
    assert str(caught.value) == message
    with pytest.raises(ConfigError, match="the package no_such_library is not installed"):
        need("no_such_library", "chinese", "tokenizer=jieba")
