"""Hand-made fixtures in the publishers' format."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metadialog.datasets.dialogue import Dataset, Dialogue, Turn
from metadialog.datasets.taskmaster import TaskmasterDataset
from metadialog.errors import DataError


def record(identifier: str, instruction: str) -> dict[str, Any]:
    utterances = [
        {"index": 0, "speaker": "USER", "text": "A table for two.", "segments": [{"start_index": 2}]},
        {"index": 1, "speaker": "ASSISTANT", "text": "When?"},
    ]
    return {"conversation_id": identifier, "instruction_id": instruction, "utterances": utterances}


def write(path: Path, *records: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(records))
    return path


def read(root: Path, release: Literal["tm1", "tm2"]) -> list[Dialogue]:
    return list(TaskmasterDataset(root=str(root), release=release).dialogues())


def test_the_verticals_of_tm_1_are_the_instructions_without_numbers(tmp_path: Path) -> None:
    write(tmp_path / "TM-1-2019" / "woz-dialogs.json", record("dlg-2", "pizza-ordering-12"))
    write(tmp_path / "TM-1-2019" / "self-dialogs.json", record("dlg-1", "restaurant-table-2"))
    for root in (tmp_path, tmp_path / "TM-1-2019"):
        dialogues = read(root, "tm1")
        assert [(d.topic, d.id) for d in dialogues] == [
            ("restaurant-table", "self-dialogs:dlg-1"),
            ("pizza-ordering", "woz-dialogs:dlg-2"),
        ]
        assert dialogues[0].turns == (Turn("user", "A table for two."), Turn("assistant", "When?"))


def test_the_verticals_of_tm_2_are_the_files(tmp_path: Path) -> None:
    write(tmp_path / "TM-2-2020" / "data" / "sports.json", record("dlg-1", "nba-3"))
    write(tmp_path / "TM-2-2020" / "data" / "flights.json", record("dlg-1", "flight-1"))
    for root in (tmp_path, tmp_path / "TM-2-2020"):
        assert [(d.topic, d.id) for d in read(root, "tm2")] == [
            ("flights", "flights:dlg-1"),
            ("sports", "sports:dlg-1"),
        ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({}, ": the whole is an object; it should be a list"),
        ([record("1", "")], ": [0].instruction_id is empty"),
        ([record("1", "a-1") | {"utterances": [{"speaker": "X", "text": ""}]}], ": [0].utterances[0].speaker is 'X'"),
        ([record("1", "a-1"), {}], ": [1].conversation_id is missing"),
    ],
)
def test_a_malformed_file_is_named_with_the_place(tmp_path: Path, content: object, problem: str) -> None:
    path = write(tmp_path / "self-dialogs.json")
    path.write_text(json.dumps(content))
    with pytest.raises(DataError) as caught:
        read(tmp_path, "tm1")
    assert str(caught.value).startswith(f"{path}{problem}")


def test_a_missing_copy_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no self-dialogs\.json or woz-dialogs\.json"):
        read(tmp_path, "tm1")
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError, match=r"data: holds no \*\.json"):
        read(tmp_path, "tm2")


@given(st.binary(max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_cost_one_line_at_most(tmp_path: Path, complaint: Callable[[Dataset], str], content: bytes) -> None:
    write(tmp_path / "self-dialogs.json").write_bytes(content)
    message = complaint(TaskmasterDataset(root=str(tmp_path), release="tm1"))
    assert not message or message.startswith(str(tmp_path))
    assert "\n" not in message
