"""What is wrong is said in one line, however long the value that it quotes."""

import pytest

from metadialog.cli.user_errors import complain
from metadialog.errors import ConfigError


def test_a_value_of_any_length_is_shortened(capsys: pytest.CaptureFixture[str]) -> None:
    complain("chat", ConfigError(f"training.frozen: {'x' * 100_000}: no such part; there are embeddings and head"))
    said = capsys.readouterr().err
    assert len(said) < 1600
    assert said.startswith("metadialog chat: training.frozen: xxx")
    assert said.endswith("no such part; there are embeddings and head\n")
