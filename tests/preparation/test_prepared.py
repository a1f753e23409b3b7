import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from metadialog.datasets.corpus import write_store
from metadialog.datasets.dialogue import Dataset
from metadialog.errors import DataError
from metadialog.preparation import topics as preparing
from metadialog.preparation.tokens import train_tokenizer
from metadialog.preparation.topics import Topics, prepare_topics
from metadialog.samplers.tokens import PreparedTokenizer

SPLIT = {
    "_target_": "metadialog.splits.seeded.SeededSplit",
    "seed": 0,
    "validation": 0.2,
    "test": 0.25,
    "min_dialogues": 2,
}
BPE = {"_target_": "metadialog.tokenizers.byte_pair.BytePairTokenizer", "vocab_size": 300}


def write(path: Path, word: str) -> None:
    lines = [{"topic": f"topic {i % 4}", "turns": [f"{word} {i}?", f"{word}, {i}."]} for i in range(40)]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")


@pytest.fixture
def node(tmp_path: Path) -> dict[str, Any]:
    write(tmp_path / "talk.jsonl", "Hallo")
    path = str(tmp_path / "talk.jsonl")
    return {"_target_": "metadialog.datasets.jsonl.JsonlDataset", "path": path, "language": "en"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def load(node: dict[str, Any], place: Path) -> Topics:
    return prepare_topics(node, SPLIT, str(place))


def entries(place: Path) -> dict[str, float]:
    return {path.name: path.stat().st_mtime_ns for path in (place / "prepared").iterdir()}


def words(topics: Topics) -> set[str]:
    return {d.turns[0].text.split()[0] for found in topics.corpus.topics.values() for d in found}


def test_a_second_start_takes_everything_from_the_cache(node: dict[str, Any], place: Path) -> None:
    first = load(node, place)
    tokenizer = train_tokenizer(BPE, first)
    built = entries(place)
    assert {name.partition("-")[0] for name in built} == {"dialogues", "tokenizer", "tokens"}
    second = load(node, place)
    again = train_tokenizer(BPE, second)
    assert entries(place) == built
    assert isinstance(again, PreparedTokenizer)
    assert again.to_json() == tokenizer.to_json()
    assert {t: list(d) for t, d in second.corpus.topics.items()} == {t: list(d) for t, d in first.corpus.topics.items()}


def test_a_changed_file_is_read_again_whatever_its_times_say(node: dict[str, Any], place: Path) -> None:
    path = Path(node["path"])
    stat = path.stat()
    assert words(load(node, place)) == {"Hallo"}
    write(path, "Salut")  # as long as before
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_size == stat.st_size
    assert words(load(node, place)) == {"Salut"}
    write(path, "Hallo")
    assert words(load(node, place)) == {"Hallo"}
    assert len(entries(place)) == 2


def test_options_topics_and_code_make_other_entries(
    node: dict[str, Any], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics = load(node, place)
    train_tokenizer(BPE, topics)
    assert len(entries(place)) == 3
    train_tokenizer(BPE | {"vocab_size": 262}, topics)
    assert len(entries(place)) == 5
    train_tokenizer(BPE, prepare_topics(node, SPLIT | {"seed": 1}, str(place)))
    assert len(entries(place)) in (6, 7)  # very similar texts may give the same vocabulary, and thus the same tokens
    before = len(entries(place))
    monkeypatch.setattr(preparing, "digest_code", lambda _: {"another": "version"})
    assert words(load(node, place)) == {"Hallo"}
    assert len(entries(place)) == before + 1


def test_a_damaged_corpus_is_read_again(node: dict[str, Any], place: Path, caplog: pytest.LogCaptureFixture) -> None:
    load(node, place)
    (folder,) = (place / "prepared").iterdir()
    (folder / "dialogues.arrow").write_bytes(b"?")
    assert words(load(node, place)) == {"Hallo"}
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_file_that_changes_while_it_is_read_is_read_again(
    node: dict[str, Any], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = write_store
    changes = iter(["Salut", "Ciao!"])

    def interfere(source: Dataset, folder: Path) -> None:
        real(source, folder)
        if word := next(changes, None):
            write(Path(node["path"]), word)

    monkeypatch.setattr(preparing, "write_store", interfere)
    assert words(load(node, place)) == {"Ciao!"}
    assert len(entries(place)) == 1
    changes = iter("abcdefgh")
    write(Path(node["path"]), "new")
    with pytest.raises(DataError, match="change while they are read"):
        load(node, place)
    assert len(entries(place)) == 1


def test_a_malformed_file_leaves_nothing(node: dict[str, Any], place: Path) -> None:
    Path(node["path"]).write_text('{"topic": "t"}')
    with pytest.raises(DataError, match=r'talk.jsonl:1: "turns" is missing'):
        load(node, place)
    assert entries(place) == {}


@pytest.mark.parametrize("options", [{}, {"path": "owner/name"}], ids=["no files", "a name on a hub"])
def test_a_data_set_whose_files_are_not_known_is_read_each_time(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, str]
) -> None:
    (tmp_path / "generated_loader.py").write_text(
        "from metadialog.datasets.dialogue import Dialogue, Turn\n"
        "class Generated:\n"
        "    name, language, paper_split = 'generated', 'en', None\n"
        "    def __init__(self, *, path=None):\n"
        "        pass\n"
        "    def dialogues(self):\n"
        "        for i in range(40):\n"
        "            yield Dialogue(f't{i % 4}', (Turn('a', f'{i}?'), Turn('b', 'Yes.')), str(i))\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    topics = load({"_target_": "generated_loader.Generated", **options}, place)
    assert topics.key is None
    assert isinstance(train_tokenizer(BPE, topics), PreparedTokenizer)
    assert not place.exists()
