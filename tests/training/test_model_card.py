"""The card of an exported model."""

from pathlib import Path

import pandas as pd
import pytest
import yaml
from tests.conftest import Export

from metadialog.inference.folder import load_model
from metadialog.training.export import read_exported_config
from metadialog.training.model_card import About, AdaptedTo, about_from, card, slug, write_results


def metadata(text: str) -> dict[str, object]:
    _, front, body = text.split("---\n", 2)
    assert body.startswith("\n# ")
    found: dict[str, object] = yaml.safe_load(front)
    return found


def test_what_the_hub_reads() -> None:
    about = About("maml-x", "x (small)", "zh", "maml", 3, {"0": 90.0, "5": 60.5}, 5)
    found = metadata(card(about))
    assert found["library_name"] == "metadialog"
    assert found["language"] == ["zh"]
    (index,) = found["model-index"]  # type: ignore[misc]
    (result,) = index["results"]  # type: ignore[has-type]
    assert result["dataset"] == {"type": "x-small", "name": "x (small)"}
    assert result["metrics"][0]["value"] == 60.5
    assert "| 90.0 | 60.5 |" in card(about)


def test_an_adapted_model_names_its_parent() -> None:
    about = About("mine", "x", "en", "maml", 3, adapted_to=AdaptedTo("maml-x", 1, 0, 2, 3.0, 2.5))
    assert metadata(card(about))["base_model"] == "maml-x"
    assert "Adapted from `maml-x` to 1 dialogue in 2 inner steps." in card(about)
    assert "Loss on the dialogues adapted to: 3.000 nats a token before adaptation, 2.500 after." in card(about)
    assert about_from(about.to_dict(), Path("config.json")) == about


@pytest.mark.parametrize(("name", "expected"), [("a b/ü", "a-b"), ("..x..", "x"), ("", "model"), ("a--b", "a-b")])
def test_names_are_as_the_hub_takes_them(name: str, expected: str) -> None:
    assert slug(name) == expected


def test_results_are_those_of_the_most_shots_and_the_model_still_loads(export: Export, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for file in export().iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    rows = [(shots, step, 1.0 + shots, 10, 10) for shots in (1, 5) for step in (0, 1)]
    records = pd.DataFrame(rows, columns=["shots", "inner_step", "loss", "tokens", "words"])
    config = {**read_exported_config(folder), "seed": 0}
    write_results(folder, config, records)
    assert "5 shots, by inner steps" in (folder / "README.md").read_text(encoding="utf-8")
    assert "| 403.4 | 403.4 |" in (folder / "README.md").read_text(encoding="utf-8")  # exp(6)
    assert load_model(folder).reply("hi") == load_model(export()).reply("hi")
