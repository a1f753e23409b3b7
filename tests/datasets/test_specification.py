"""Hand-made fixtures in the format of the competition."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.datasets.specification import read_specification, write_predictions
from metadialog.errors import DataError

DIALOGUES = [
    Dialogue("SKI", (Turn("bot", "Hello?"), Turn("user", "Snow?"), Turn("bot", "Lots.")), "a"),
    Dialogue("SKI", (Turn("bot", "Yes?"), Turn("user", "Lifts?")), "b"),
]


def write(folder: Path, *lines: object) -> Path:
    path = folder / "spec.txt"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def line(turn: object, target: str = "a", *support: str) -> dict[str, object]:
    return {"support_dlgs": list(support), "target_dlg": target, "predict_turn": turn}


def test_a_request_shows_the_dialogue_up_to_the_turn_before(tmp_path: Path) -> None:
    inside, cut = read_specification(write(tmp_path, line(1, "a", "b"), line(2, "b", "a")), iter(DIALOGUES))
    assert inside.support == (DIALOGUES[1],)
    assert inside.target.turns == (Turn("bot", "Hello?"), Turn("user", ""))
    assert cut.target.turns == (*DIALOGUES[1].turns, Turn("bot", ""))


def test_predictions_are_written_as_the_competition_wants_them(tmp_path: Path) -> None:
    requests = read_specification(write(tmp_path, line(2), line(1, "b")), DIALOGUES)
    write_predictions(tmp_path / "out.jsonl", requests, ["Viel Schnee – 3 m", ""])
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert lines[0] == '{"dlg_id": "a", "predict_turn": 2, "response": "Viel Schnee – 3 m"}'
    assert json.loads(lines[1]) == {"dlg_id": "b", "predict_turn": 1, "response": ""}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (line(1, "z"), ":1: dialogue 'z' is not in the data set"),
        (line(1, "a", "b", "z"), ":1: dialogue 'z' is not in the data set"),
        (line(1, "a", "a"), ":1: target_dlg 'a' is in support_dlgs as well"),
        (line(0), ":1: predict_turn is 0; it should be from 1 to 3, counted from 0"),
        (line(4), ":1: predict_turn is 4; it should be from 1 to 3"),
        (line("1"), ":1: predict_turn is a text; it should be a whole number"),
        ([], ":1: the whole is a list"),
    ],
)
def test_a_malformed_specification_is_named_with_the_line(tmp_path: Path, content: object, problem: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(DataError) as caught:
        read_specification(path, DIALOGUES)
    assert str(caught.value).startswith(f"{path}{problem}")
    assert "\n" not in str(caught.value)


def test_an_empty_or_missing_specification_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"spec\.txt:1: holds nothing to predict"):
        read_specification(write(tmp_path), DIALOGUES)
    with pytest.raises(DataError, match=r"none\.txt: cannot be read: No such file"):
        read_specification(tmp_path / "none.txt", DIALOGUES)


@given(st.binary(max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_cost_one_line_at_most(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path)
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_specification(path, DIALOGUES)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
