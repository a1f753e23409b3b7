"""Reading the config of a run."""

import json
from pathlib import Path

import pytest
import yaml

from metadialog.errors import RunError
from metadialog.runs.config_file import read_config, read_model_config

VERSION_0_1_0 = Path(__file__).parents[1] / "fixtures/version_0_1_0"


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "a: [", "\xff\x00"])
def test_a_file_that_is_no_config_costs_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(RunError, match=r"config\.yaml: no .*config of a run") as caught:
        read_config(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(RunError):
        read_config(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("node", "option", "value", "message"),
    [
        ("sampler", "context_turns", 0, "sampler: no config of a model: context_turns is 0; it should be"),
        ("sampler", "loss_on", None, "sampler: no config of a model: it should be an object with the key loss_on"),
        ("algorithm", "_target_", None, "it should name a class in `_target_`"),
    ],
)
def test_a_model_whose_config_is_damaged(tmp_path: Path, node: str, option: str, value: object, message: str) -> None:
    config = yaml.safe_load((VERSION_0_1_0 / "finished/model/config.yaml").read_text("utf-8"))
    config[node][option] = value
    if value is None:
        del config[node][option]
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(RunError) as caught:
        read_model_config(path)
    assert message in str(caught.value)
