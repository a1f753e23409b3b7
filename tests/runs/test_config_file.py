"""Reading what a run says that it was made with."""

from pathlib import Path

import pytest

from metadialog.errors import RunError
from metadialog.runs.config_file import read_config


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "a: [", "\xff\x00"])
def test_a_file_that_is_no_config_costs_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(RunError, match=r"config\.yaml: no .*config of a run") as caught:
        read_config(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(RunError):
        read_config(tmp_path / "nowhere.yaml")
