"""SGD: real dialogues if there is a local copy, and small hand-made files for errors."""

import json
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metadialog.datasets.dialogue import Dataset, Dialogue, Turn
from metadialog.datasets.sgd import SgdDataset
from metadialog.errors import ConfigError, DataError

Published = Callable[[str], Path]


def read(root: Path, topic: Literal["domain", "service"] = "domain", *, multi_domain: bool = False) -> list[Dialogue]:
    return list(SgdDataset(root=str(root), topic=topic, multi_domain=multi_domain).dialogues())


def record(number: int, *services: str) -> dict[str, Any]:
    turns = [
        {"speaker": "USER", "utterance": f"Number {number}, please.", "frames": [{"service": services[0]}]},
        {"speaker": "SYSTEM", "utterance": "Which one?", "frames": []},
    ]
    return {"dialogue_id": f"1_{number:05}", "services": list(services), "turns": turns}


def write(folder: Path, *records: dict[str, Any], name: str = "dialogues_001.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    services = [{"service_name": service} for service in ("Hotels_1", "Hotels_2", "Travel_1", "_1")]
    (folder / "schema.json").write_text(json.dumps(services))
    (folder / name).write_text(json.dumps(records))
    return folder / name


def test_the_published_dialogues(published: Published) -> None:
    dialogues = read(published("sgd"))
    assert len(dialogues) == 6111
    topics = Counter(dialogue.topic for dialogue in dialogues)
    assert len(topics) == 17
    assert topics["Flights"] == 857 + 94
    folders = {name: {d.topic for d in dialogues if d.id.startswith(name)} for name in ("train/", "dev/")}
    assert (len(folders["train/"]), len(folders["dev/"])) == (14, 16)
    assert len({dialogue.id for dialogue in dialogues}) == len(dialogues)
    first = dialogues[0]
    assert (first.topic, first.id) == ("Restaurants", "train/1_00000")
    assert first.turns[0] == Turn("user", "I am feeling hungry so I would like to find a place to eat.")
    assert {turn.speaker for turn in first.turns} == {"user", "system"}


def test_services_of_the_published_dialogues(published: Published) -> None:
    dialogues = read(published("sgd"), "service")
    assert {d.topic for d in dialogues if d.id.startswith("dev/") and d.topic.startswith("Ho")} == {
        "Homes_1",
        "Hotels_1",
        "Hotels_4",
    }


def test_every_reading_is_the_same(published: Published) -> None:
    assert read(published("sgd")) == read(published("sgd"))


def test_dialogues_of_several_domains_are_an_option(tmp_path: Path) -> None:
    write(tmp_path / "train", record(1, "Hotels_1"), record(2, "Travel_1", "Hotels_2"))
    assert [d.topic for d in read(tmp_path)] == ["Hotels"]
    assert [d.topic for d in read(tmp_path, multi_domain=True)] == ["Hotels", "Hotels+Travel"]
    assert [d.topic for d in read(tmp_path, "service", multi_domain=True)] == ["Hotels_1", "Hotels_2+Travel_1"]


def test_folders_and_files_are_read_in_order(tmp_path: Path) -> None:
    write(tmp_path / "dev", record(4, "Hotels_1"))
    write(tmp_path / "train", record(3, "Hotels_1"), name="dialogues_002.json")
    write(tmp_path / "train", record(2, "Hotels_1"), record(1, "Hotels_1"))
    assert [d.id for d in read(tmp_path)] == ["train/1_00002", "train/1_00001", "train/1_00003", "dev/1_00004"]


def test_a_zip_of_the_repository_is_read_where_it_is(tmp_path: Path) -> None:
    file = write(tmp_path / "plain" / "train", record(1, "Hotels_1"))
    with zipfile.ZipFile(tmp_path / "sgd.zip", "w") as archive:
        for path in (file, file.with_name("schema.json")):
            archive.write(path, f"repository-master/train/{path.name}")
    assert read(tmp_path / "sgd.zip") == read(tmp_path / "plain")


def test_a_missing_copy_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: there is no such folder or zip file; dataset\.root should name"):
        read(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"holds no train or dev or test; dataset\.root should name a copy of"):
        read(tmp_path)
    with pytest.raises(ConfigError, match=r"^dataset\.root=~nobody-at-all/x: there is no such home folder"):
        SgdDataset(root="~nobody-at-all/x", topic="domain", multi_domain=False)
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DataError, match=r"broken\.zip: is neither a folder nor a whole zip file"):
        read(tmp_path / "broken.zip")


def mistakes() -> Iterator[tuple[str, str]]:
    good = record(1, "Hotels_1")
    yield "", ":1:0: not valid JSON: EOF while parsing a value"
    yield '[{"dialogue_id": "1",\n "services": [}]', ":2:15: not valid JSON: expected value"
    yield "[" * 100_000, ":1:202: not valid JSON: recursion limit exceeded"
    yield '["\\ud83d"]', ":1:9: not valid JSON: "
    yield "{}", ": the whole is an object; it should be a list"
    yield json.dumps([good, good | {"dialogue_id": 7}]), ": [1].dialogue_id is a number; it should be a text"
    yield json.dumps([{"dialogue_id": "1", "turns": []}]), ": [0].services is missing; it should be there"
    yield json.dumps([good | {"services": []}]), ": [0].services is empty"
    yield json.dumps([good | {"services": ["_1"]}]), ": [0].services: '_1' is not in schema.json"
    yield json.dumps([good | {"services": ["Hotel_1"]}]), ": [0].services: 'Hotel_1' is not in schema.json"
    yield json.dumps([good | {"turns": [{"speaker": "USER"}]}]), ": [0].turns[0].utterance is missing"
    yield json.dumps([good | {"turns": [{"speaker": "BOT", "utterance": ""}]}]), ": [0].turns[0].speaker is 'BOT'"


@pytest.mark.parametrize(("content", "problem"), list(mistakes()))
def test_a_malformed_file_is_named_with_the_place(tmp_path: Path, content: str, problem: str) -> None:
    file = write(tmp_path / "train")
    file.write_text(content)
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert str(caught.value).startswith(f"{file}{problem}")
    assert "\n" not in str(caught.value)


def test_missing_files_are_named(tmp_path: Path) -> None:
    write(tmp_path / "train", record(1, "Hotels_1")).unlink()
    with pytest.raises(DataError, match=r"train: holds no dialogues_\*\.json"):
        read(tmp_path)
    (tmp_path / "train" / "schema.json").unlink()
    with pytest.raises(DataError, match=r"schema\.json: cannot be read: No such file"):
        read(tmp_path)


@given(st.binary(max_size=60), st.sampled_from(["schema.json", "dialogues_001.json"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_cost_one_line_at_most(
    tmp_path: Path, complaint: Callable[[Dataset], str], content: bytes, name: str
) -> None:
    write(tmp_path / "train", record(1, "Hotels_1"))
    (tmp_path / "train" / name).write_bytes(content)
    message = complaint(SgdDataset(root=str(tmp_path), topic="domain", multi_domain=False))
    assert not message or message.startswith(str(tmp_path / "train"))
    assert "\n" not in message
