"""`dataset=huggingface`, with data sets on this machine and no access to the hub."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.datasets.huggingface import HuggingFaceDataset
from metadialog.errors import ConfigError, DataError

ROWS: list[dict[str, Any]] = [
    {"topic": "tea", "turns": ["Tea?", "Yes."], "who": ["guest", "host"]},
    {"topic": "salt", "turns": ["Salt?", "No.", "Why?"], "who": ["guest", "host", "guest"]},
]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def dataset(path: Path | str, **options: str) -> HuggingFaceDataset:
    defaults: dict[str, Any] = {
        "subset": None, "part": "train", "topic": "topic", "turns": "turns", "text": None, "speaker": None,
        "language": "en",
    }  # fmt: skip
    return HuggingFaceDataset(path=str(path), **(defaults | options))


def saved(folder: Path, rows: list[dict[str, Any]]) -> Path:
    from datasets import Dataset

    Dataset.from_list(rows).save_to_disk(str(folder / "saved"))
    return folder / "saved"


def test_lists_of_texts(tmp_path: Path) -> None:
    source = dataset(saved(tmp_path, ROWS))
    assert list(source.dialogues()) == [
        Dialogue("tea", (Turn("user", "Tea?"), Turn("bot", "Yes.")), "train:0"),
        Dialogue("salt", (Turn("user", "Salt?"), Turn("bot", "No."), Turn("user", "Why?")), "train:1"),
    ]
    assert source.name == "saved"


def test_speakers_of_a_column_of_their_own(tmp_path: Path) -> None:
    first, _ = dataset(saved(tmp_path, ROWS), speaker="who").dialogues()
    assert [turn.speaker for turn in first.turns] == ["guest", "host"]


def test_turns_that_are_objects(tmp_path: Path) -> None:
    rows = [{"domain": "tea", "log": [{"by": "guest", "says": "Tea?"}, {"by": "host", "says": "Yes."}]}]
    options = {"topic": "domain", "turns": "log", "text": "says", "speaker": "by"}
    expected = [Dialogue("tea", (Turn("guest", "Tea?"), Turn("host", "Yes.")), "train:0")]
    assert list(dataset(saved(tmp_path, rows), **options).dialogues()) == expected


def test_labels_are_called_by_their_names(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Sequence, Value

    features = Features({"topic": ClassLabel(names=["tea", "salt"]), "turns": Sequence(Value("string"))})
    rows = Dataset.from_list([{"topic": 1, "turns": ["Salt?", "No."]}], features=features)
    DatasetDict({"test": rows}).save_to_disk(str(tmp_path / "saved"))
    (dialogue,) = dataset(tmp_path / "saved", part="test").dialogues()
    assert (dialogue.topic, dialogue.id) == ("salt", "test:0")


def test_a_folder_of_data_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert [d.topic for d in dataset(tmp_path / "mine").dialogues()] == ["tea", "salt"]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert [d.topic for d in dataset("~/mine").dialogues()] == ["tea", "salt"]
    with pytest.raises(DataError, match=r"train\.jsonl: is a file; dataset\.path should name the folder that it is in"):
        list(dataset(tmp_path / "mine" / "train.jsonl").dialogues())


@pytest.mark.parametrize(
    ("rows", "options", "problem"),
    [
        (ROWS, {"topic": "theme"}, r"^dataset\.topic=theme: no such column; valid: topic, turns, who$"),
        (ROWS, {"id": "number"}, r"^dataset\.id=number: no such column; valid: topic, turns, who$"),
        (ROWS, {"id": "topic"}, r"train\[0\]: turns is \[.*; it should be the text of the turn"),
        (
            [ROWS[0] | {"turns": "no colon\nA: Hi"}],
            {},
            r"train\[0\]\.turns: line 1, 'no colon', has no speaker; it should",
        ),
        (ROWS, {"speaker": "by"}, r"train\[0\]\.turns\[0\]: has no by; dataset\.speaker should name a column"),
        ([ROWS[0] | {"who": ["guest"]}], {"speaker": "who"}, r"train\[0\]: who has 1 entries, but turns has 2"),
        ([ROWS[0] | {"turns": [1, 2]}], {}, r"train\[0\]\.turns\[0\] is 1; it should be a text"),
        ([ROWS[0] | {"topic": None}], {}, r"train\[0\]: topic is None; it should be a text or a number"),
    ],
)
def test_a_row_that_is_not_as_the_options_say(
    tmp_path: Path, rows: list[dict[str, Any]], options: dict[str, str], problem: str
) -> None:
    with pytest.raises((DataError, ConfigError), match=problem) as caught:
        list(dataset(saved(tmp_path, rows), **options).dialogues())
    assert "\n" not in str(caught.value)


def test_what_is_not_there_costs_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: train cannot be loaded: ") as caught:
        list(dataset(tmp_path / "nowhere").dialogues())
    assert "\n" not in str(caught.value)


def test_the_library_may_be_missing(without: Callable[[str], None]) -> None:
    without("datasets")
    assert "datasets" not in sys.modules
    with pytest.raises(ConfigError, match=r"^dataset=huggingface: the package datasets is not installed; pip install"):
        dataset("owner/name")


def test_a_row_may_be_a_turn(tmp_path: Path) -> None:
    import datasets

    turns = [("1", "tea", 0, "Hi"), ("1", "tea", 1, "Hello"), ("2", "salt", 1, "Salt?"), ("2", "salt", 0, "Here")]
    names = ("dialog", "about", "by", "said")
    features = datasets.Features(
        dialog=datasets.Value("string"),
        about=datasets.Value("string"),
        by=datasets.ClassLabel(names=["guest", "desk"]),
        said=datasets.Value("string"),
    )
    rows = datasets.Dataset.from_list([dict(zip(names, turn, strict=True)) for turn in turns], features=features)
    rows.save_to_disk(str(tmp_path / "rows"))
    options: dict[str, Any] = {"topic": "about", "turns": "said", "text": None, "speaker": "by", "id": "dialog"}
    assert list(dataset(tmp_path / "rows", **options).dialogues()) == [
        Dialogue("tea", (Turn("guest", "Hi"), Turn("desk", "Hello")), "train:1"),
        Dialogue("salt", (Turn("desk", "Salt?"), Turn("guest", "Here")), "train:2"),
    ]
    rows.select([0, 2, 1]).save_to_disk(str(tmp_path / "mixed"))
    with pytest.raises(DataError, match=r"train\[2\]: dialogue '1' began in row 0 and had ended"):
        list(dataset(tmp_path / "mixed", **options).dialogues())


def test_speakers_that_are_labels_have_their_names(tmp_path: Path) -> None:
    import datasets

    label = datasets.ClassLabel(names=["USER", "SYSTEM"])
    turn = {"by": label, "said": datasets.Value("string")}
    features = datasets.Features(topic=datasets.Value("string"), turns=[turn], who=[label])
    row = {"topic": "tea", "turns": [{"by": 0, "said": "Hi"}, {"by": 1, "said": "Hello"}], "who": [1, 0]}
    datasets.Dataset.from_list([row], features=features).save_to_disk(str(tmp_path / "rows"))
    for speaker, expected in (("by", ["USER", "SYSTEM"]), ("who", ["SYSTEM", "USER"])):
        (dialogue,) = dataset(tmp_path / "rows", text="said", speaker=speaker).dialogues()
        assert [turn.speaker for turn in dialogue.turns] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#Person1#: Hi\n#Person2#: Hello", [("Person1", "Hi"), ("Person2", "Hello")]),
        ("Anna: Hi\nthere\n\nBo: Hello: you", [("Anna", "Hi\nthere"), ("Bo", "Hello: you")]),
        ("Hi . __eou__ Hello . __eou__", [("user", "Hi ."), ("bot", "Hello .")]),
        ("Hi\nHello", [("user", "Hi"), ("bot", "Hello")]),
    ],
)
def test_turns_may_be_one_text(tmp_path: Path, text: str, expected: list[tuple[str, str]]) -> None:
    row = {"topic": "tea", "turns": text}
    (dialogue,) = dataset(saved(tmp_path, [row])).dialogues()
    assert [(turn.speaker, turn.text) for turn in dialogue.turns] == expected
