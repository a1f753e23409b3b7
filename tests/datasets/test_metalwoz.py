"""Hand-made fixtures in the publisher's format, as MetaLWOz itself may not be redistributed."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metadialog.datasets.dialogue import Dataset, Dialogue, Turn
from metadialog.datasets.metalwoz import MetaLwozDataset
from metadialog.errors import DataError


def read(root: Path, topic: Literal["domain", "task"] = "domain") -> list[Dialogue]:
    return list(MetaLwozDataset(root=str(root), topic=topic).dialogues())


def record(number: int, domain: str, task: str) -> dict[str, Any]:
    return {
        "id": f"{number:08x}",
        "user_id": "u1",
        "bot_id": "b1",
        "domain": domain,
        "task_id": task,
        "turns": ["Hello how may I help you?", f"Number {number} please", "Done."],
    }


def lines(*records: dict[str, Any]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def write(folder: Path, domain: str, *records: dict[str, Any]) -> Path:
    (folder / "dialogues").mkdir(parents=True, exist_ok=True)
    prompts = {"bot_prompt": "", "user_prompt": "", "bot_role": "", "user_role": ""}
    tasks = ({"task_id": task, "domain": domain} | prompts for task in ("t1", "t2"))
    (folder / "tasks.txt").write_text(lines(*tasks))
    (folder / "dialogues" / f"{domain}.txt").write_text(lines(*records))
    return folder / "dialogues" / f"{domain}.txt"


def zipped(folder: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, path.relative_to(folder))
    return archive


def test_an_archive_without_dialogues_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "metalwoz-v1.zip", "w") as archive:
        archive.writestr("tasks.txt", json.dumps({"task_id": "t1", "domain": "SKI"}))
    with pytest.raises(
        DataError,
        match=r"holds no dialogues or metalwoz-v1\.zip or dstc8_metalwoz_heldout\.zip; dataset\.root should name ",
    ):
        read(tmp_path)


def test_hidden_files_are_no_data(tmp_path: Path) -> None:
    write(tmp_path, "SKI", record(1, "SKI", "t1"))
    (tmp_path / "dialogues" / "._SKI.txt").write_bytes(b"\x00\x05\x16\x07")  # as macOS adds them to archives
    assert [d.id for d in read(tmp_path)] == ["00000001"]


def test_domains_and_tasks(tmp_path: Path) -> None:
    write(tmp_path, "SKI", record(3, "SKI", "t1"))
    write(tmp_path, "ALARM_SET", record(1, "ALARM_SET", "t1"), record(2, "ALARM_SET", "t2"))
    dialogues = read(tmp_path)
    assert [(d.topic, d.id) for d in dialogues] == [
        ("ALARM_SET", "00000001"),
        ("ALARM_SET", "00000002"),
        ("SKI", "00000003"),
    ]
    assert dialogues[0].turns[:2] == (Turn("bot", "Hello how may I help you?"), Turn("user", "Number 1 please"))
    assert [d.topic for d in read(tmp_path, "task")] == ["ALARM_SET t1", "ALARM_SET t2", "SKI t1"]


def test_the_archives_are_read_as_published(tmp_path: Path) -> None:
    write(tmp_path / "v1", "SKI", record(1, "SKI", "t1"))
    write(tmp_path / "heldout", "TOURISM", record(2, "TOURISM", "t1"))
    copy = tmp_path / "copy"
    copy.mkdir()
    zipped(tmp_path / "v1", copy / "metalwoz-v1.zip")
    assert [d.topic for d in read(copy / "metalwoz-v1.zip")] == ["SKI"]
    assert [d.topic for d in read(copy)] == ["SKI"]
    inner = zipped(tmp_path / "heldout", tmp_path / "dstc8_metalwoz_heldout.zip")
    with zipfile.ZipFile(copy / "metalwoz-test-v1.zip", "w") as file:
        file.write(inner, inner.name)
    assert [d.topic for d in read(copy)] == ["SKI", "heldout TOURISM"]
    assert [d.topic for d in read(inner)] == ["heldout TOURISM"]
    assert [d.topic for d in read(copy, "task")] == ["SKI t1", "heldout TOURISM t1"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("\n\n", ":1: holds no dialogue; it should hold one JSON object a line"),
        ('{"id": "1"}\n', ":1: domain is missing; it should be there"),
        ("\n[]\n", ":2: the whole is a list; it should be"),
        (lines(record(1, "SKI", "t1")) + "{", ":2:1: not valid JSON: EOF while parsing an object"),
        (lines(record(1, "SKI", "t9")), ":1: task_id 't9' is not in tasks.txt"),
        (lines(record(1, " ", "t1")), ":1: domain is empty"),
        (lines(record(1, "SKI", "t1"), record(1, "SKI", "t1")), ":2: id '00000001' is that of "),
        (lines(record(1, "SKI", "t1") | {"turns": ["a", 3]}), ":1: turns[1] is a number; it should be a text"),
    ],
)
def test_a_malformed_file_is_named_with_the_line(tmp_path: Path, content: str, problem: str) -> None:
    file = write(tmp_path, "SKI")
    file.write_text(content)
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert str(caught.value).startswith(f"{file}{problem}")
    assert "\n" not in str(caught.value)


def test_a_missing_copy_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no dialogues or metalwoz-v1\.zip or dstc8_metalwoz_heldout\.zip"):
        read(tmp_path)
    write(tmp_path, "SKI").unlink()
    with pytest.raises(DataError, match=r"dialogues: holds no \*\.txt; dataset\.root should name a copy of MetaLWOz"):
        read(tmp_path)


@given(st.binary(max_size=60), st.sampled_from(["tasks.txt", "dialogues/SKI.txt", "metalwoz-v1.zip"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_cost_one_line_at_most(
    tmp_path: Path, complaint: Callable[[Dataset], str], content: bytes, name: str
) -> None:
    write(tmp_path, "SKI", record(1, "SKI", "t1"))
    (tmp_path / name).write_bytes(content)
    message = complaint(MetaLwozDataset(root=str(tmp_path), topic="domain"))
    assert not message or message.startswith(str(tmp_path))
    assert "\n" not in message
