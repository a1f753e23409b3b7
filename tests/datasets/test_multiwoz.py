"""Hand-made fixtures in the publishers' format."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metadialog.datasets.dialogue import Dataset, Dialogue, Turn
from metadialog.datasets.multiwoz import NO_DOMAIN, MultiWozDataset
from metadialog.errors import DataError


def record(*domains: str) -> dict[str, Any]:
    goal: dict[str, Any] = {name: {} for name in ("taxi", "police", "hospital", "hotel", "train", "restaurant")}
    goal |= {"message": ["You want ..."], "topic": {"taxi": False}}
    goal |= {domain: {"info": {"area": "north"}} for domain in domains}
    log = [{"text": "A room, please.", "metadata": {}}, {"text": "When?", "metadata": {"hotel": {"book": {}}}}]
    return {"goal": goal, "log": log, "new_goal": {}}


def write(folder: Path, content: object) -> Path:
    (folder / "MULTIWOZ2.1").mkdir(exist_ok=True)
    path = folder / "MULTIWOZ2.1" / "data.json"
    path.write_text(json.dumps(content))
    return path


def read(root: Path, *, multi_domain: bool = False) -> list[Dialogue]:
    return list(MultiWozDataset(root=str(root), multi_domain=multi_domain).dialogues())


def test_domains_are_those_of_the_goal(tmp_path: Path) -> None:
    records = {"SNG01.json": record("hotel"), "MUL02.json": record("train", "hotel"), "PMUL3.json": record()}
    write(tmp_path, records)
    assert [(d.topic, d.id) for d in read(tmp_path)] == [("hotel", "SNG01"), (NO_DOMAIN, "PMUL3")]
    assert [d.topic for d in read(tmp_path, multi_domain=True)] == ["hotel", "hotel+train", NO_DOMAIN]
    assert read(tmp_path)[0].turns == (Turn("user", "A room, please."), Turn("system", "When?"))


def test_a_folder_may_hold_the_zip_file_as_it_was_downloaded(tmp_path: Path) -> None:
    write(tmp_path, {"SNG01.json": record("hotel")})
    kept = tmp_path / "kept"
    kept.mkdir()
    shutil.make_archive(str(kept / "MULTIWOZ2.1"), "zip", tmp_path, "MULTIWOZ2.1")
    (kept / "README.md").touch()
    assert read(kept) == read(tmp_path)
    shutil.copy(kept / "MULTIWOZ2.1.zip", kept / "other.zip")
    with pytest.raises(DataError, match=r"holds no data\.json .*, but MULTIWOZ2\.1\.zip, other\.zip; dataset\.root"):
        read(kept)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ([], ": the whole is a list; it should be an object"),
        ({}, ":1: holds no dialogue; it should hold an object for each"),
        ({"SNG01.json": {"goal": {"taxi": "x"}, "log": []}}, ": SNG01.json.goal.taxi is 'x'; it should be an object"),
        ({"SNG01.json": {"goal": {"taxi": None}, "log": []}}, ": SNG01.json.goal.taxi is None; it should be an obj"),
        ({"SNG01.json": {"log": []}}, ": SNG01.json.goal is missing; it should be there"),
        (
            {"SNG01.json": {"goal": {}, "log": [{"text": 1}]}},
            ": SNG01.json.log[0].text is a number; it should be a text",
        ),
    ],
)
def test_a_malformed_file_is_named_with_the_place(tmp_path: Path, content: object, problem: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert str(caught.value).startswith(f"{path}{problem}")


def test_a_missing_copy_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no data\.json or train or dev or test; dataset\.root should"):
        read(tmp_path)


@given(st.binary(max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_cost_one_line_at_most(tmp_path: Path, complaint: Callable[[Dataset], str], content: bytes) -> None:
    write(tmp_path, {}).write_bytes(content)
    message = complaint(MultiWozDataset(root=str(tmp_path), multi_domain=False))
    assert not message or message.startswith(str(tmp_path))
    assert "\n" not in message
