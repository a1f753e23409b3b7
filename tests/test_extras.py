from collections.abc import Callable

import pytest

from metadialog.errors import ConfigError
from metadialog.extras import need
from metadialog.tokenizers.chinese_word import ChineseWordTokenizer


def test_what_is_installed_is_enough() -> None:
    need("json", "chinese", "tokenizer=jieba")


def test_a_missing_library_costs_one_line(without: Callable[[str], None]) -> None:
    without("jieba")
    with pytest.raises(ConfigError) as caught:
        ChineseWordTokenizer(vocab_size=500)
    message = "tokenizer=jieba: the package jieba is not installed; pip install 'metadialog[chinese]'"
    assert str(caught.value) == message
    with pytest.raises(ConfigError, match="the package no_such_library is not installed"):
        need("no_such_library", "chinese", "tokenizer=jieba")
