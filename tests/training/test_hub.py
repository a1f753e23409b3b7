"""Exported models are uploaded and downloaded by the hub's command-line program, with a local server."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conftest import Export
from tests.training.loopback_hub import Hub, loopback_hub

from metadialog.inference.folder import load_model

huggingface_hub = pytest.importorskip("huggingface_hub")

FOOD = [["what do you eat", "electricity, mostly"], ["are you hungry", "always, for electricity"]]


@pytest.fixture
def hf(tmp_path: Path) -> Callable[..., str]:
    """Return a function that runs `hf` with a local hub."""

    def run(hub: Hub, *arguments: str) -> str:
        settings = {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "home"),
            "HF_TOKEN": "hf_token-of-a-test",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
        }
        program = Path(sys.executable).with_name("hf")
        outcome = subprocess.run([program, *arguments], env=os.environ | settings, capture_output=True, check=False)
        assert outcome.returncode == 0, outcome.stderr.decode()
        return outcome.stdout.decode()

    return run


def test_an_adapted_model_goes_to_the_hub_and_comes_back(
    hf: Callable[..., str], export: Export, tmp_path: Path
) -> None:
    parent = load_model(export("algorithm=finetune"))
    adapted = parent.adapt(FOOD, steps=2)
    adapted.save(tmp_path / "mine")
    with loopback_hub() as hub:
        hf(hub, "upload", "me/mine", str(tmp_path / "mine"))
        hf(hub, "download", "me/mine", "--local-dir", str(tmp_path / "back"))
    assert set(hub.files["me/mine"]) == {path.name for path in (tmp_path / "mine").iterdir()}
    for name, content in hub.files["me/mine"].items():
        assert (tmp_path / "back" / name).read_bytes() == content == (tmp_path / "mine" / name).read_bytes()
    loaded = load_model(tmp_path / "back")
    assert loaded.reply("are you hungry") == adapted.reply("are you hungry")
    assert loaded.score(FOOD) == adapted.score(FOOD)
    card = huggingface_hub.ModelCard.load(tmp_path / "back" / "README.md")
    assert hub.cards[0] == card.data.to_dict()
    assert card.data.base_model == parent.name
    assert card.data.language == ["en"]
    assert card.data.library_name == "metadialog"
