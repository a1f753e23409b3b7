"""Files of others are not read without end."""

from collections.abc import Callable
from pathlib import Path

import pytest

from metadialog.datasets import local
from metadialog.datasets.auto import AutoDataset
from metadialog.datasets.dialogue import Dataset
from metadialog.datasets.jsonl import JsonlDataset
from metadialog.datasets.table import TableDataset
from metadialog.errors import DataError

TURN = '{"topic": "a", "turns": ["Hello?", "Yes."]}\n'


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("my.jsonl", TURN * 2 + "x" * 100, 3),
        ("my.jsonl", TURN + "\0" * 100, 2),
        ("my.csv", "dialogue_id,topic,speaker,text\n1,a,b,c\n" + "x" * 100, 3),
    ],
)
def test_a_line_has_an_end(name: str, text: str, line: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "LONGEST_LINE", 60)
    path = tmp_path / name
    path.write_text(text)
    dataset = JsonlDataset if name.endswith("jsonl") else TableDataset
    with pytest.raises(DataError, match=f"{name}:{line}: the line has more than"):
        list(dataset(path=str(path), language="en").dialogues())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("my.jsonl", f"[{TURN * 5}]".encode()),
        ("my.json", f"[{','.join([TURN] * 5)}]".encode()),
        ("my.csv", "dialogue_id,topic,speaker,text\n1,a,b,cccccccccccccccccccccccccc\n".encode("utf-16")),
    ],
)
def test_what_is_read_at_once_has_a_size(
    name: str, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "LARGEST_WHOLE", 100)
    path = tmp_path / name
    path.write_bytes(content)
    datasets: dict[str, Callable[[], Dataset]] = {
        "my.jsonl": lambda: JsonlDataset(path=str(path), language="en"),
        "my.json": lambda: AutoDataset(path=str(path), language="en", format="json"),
        "my.csv": lambda: TableDataset(path=str(path), language="en"),
    }
    with pytest.raises(DataError, match=f"{name}: has more than .* would be read at once"):
        list(datasets[name]().dialogues())
