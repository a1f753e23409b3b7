import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.datasets.jsonl import JsonlDataset, parse
from metadialog.errors import ConfigError, DataError

GOOD = b'{"topic": "t", "turns": ["a", "b"]}\n'

Write = Callable[[bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(content: bytes, name: str = "my.jsonl") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def read(path: Path) -> list[Dialogue]:
    return list(JsonlDataset(path=str(path), language="en").dialogues())


def as_line(dialogue: Dialogue) -> bytes:
    turns = [{"speaker": turn.speaker, "text": turn.text} for turn in dialogue.turns]
    record = {"topic": dialogue.topic, "turns": turns, "id": dialogue.id}
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


@pytest.mark.parametrize("language", ["english", "chinese"])
@pytest.mark.parametrize("zipped", [False, True])
def test_real_dialogues_come_back(language: str, zipped: bool, tmp_path: Path) -> None:
    dialogues = list(ChatterbotDataset(language=language).dialogues())
    content = b"".join(map(as_line, dialogues))
    path = tmp_path / ("my.jsonl.gz" if zipped else "my.jsonl")
    path.write_bytes(gzip.compress(content) if zipped else content)
    assert read(path) == dialogues


@pytest.mark.parametrize("language", ["En", "Zh"])
def test_daily_dialogues_as_plain_texts(language: str, tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    folder = Path(os.environ.get("METADIALOG_DATA", root.parent / "shared" / "data")) / "dailydialog"
    if not folder.is_dir():
        pytest.skip(f"the DailyDialog files are not in {folder}; METADIALOG_DATA names their parent folder")
    texts = (folder / f"dialogues_text_{language}.txt").read_text(encoding="utf-8").splitlines()
    topics = (folder / "dialogues_topic.txt").read_text(encoding="utf-8").split()
    records = [
        {"topic": topic, "turns": [turn.strip() for turn in text.split("__eou__") if turn.strip()]}
        for topic, text in zip(topics, texts, strict=True)
    ]
    path = tmp_path / "daily.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    dialogues = read(path)
    assert len(dialogues) == 1000
    assert [[turn.text for turn in d.turns] for d in dialogues] == [r["turns"] for r in records]
    assert [d.topic for d in dialogues] == topics
    assert dialogues[41].id == "daily.jsonl:42"


texts = st.text(st.characters(codec="utf-8"))
names = texts.map(lambda text: " ".join(text.split())).filter(bool)
turns = st.lists(st.builds(Turn, names, texts)).map(tuple)


@given(st.builds(Dialogue, names, turns, names))
def test_what_is_written_is_read(dialogue: Dialogue) -> None:
    assert parse(as_line(dialogue), "unused") == dialogue


def test_plain_texts_alternate_between_user_and_bot(write: Write) -> None:
    (dialogue,) = read(write(b'{"topic": " my  topic ", "turns": ["a", "b", "c"], "more": 1}'))
    assert dialogue == Dialogue("my topic", (Turn("user", "a"), Turn("bot", "b"), Turn("user", "c")), "my.jsonl:1")


def test_byte_order_mark_blank_lines_and_windows_line_ends(write: Write) -> None:
    content = b"\xef\xbb\xbf" + GOOD.replace(b"\n", b"\r\n") + b"\r\n  \t\n" + GOOD.rstrip()
    assert [dialogue.id for dialogue in read(write(content))] == ["my.jsonl:1", "my.jsonl:4"]


def test_line_separators_inside_a_text_do_not_end_the_line(write: Write) -> None:
    (dialogue,) = read(write('{"topic": "t", "turns": ["a\u2028b", "c\x85d"]}\n'.encode()))
    assert [turn.text for turn in dialogue.turns] == ["a\u2028b", "c\x85d"]


def test_gzip_is_seen_from_the_first_bytes(write: Write) -> None:
    assert len(read(write(gzip.compress(GOOD) + gzip.compress(GOOD)))) == 2


def test_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "my.jsonl").write_bytes(GOOD)
    assert len(list(JsonlDataset(path="~/my.jsonl", language="en").dialogues())) == 1


def test_a_home_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^dataset\.path=~nobody-at-all/x: "):
        JsonlDataset(path="~nobody-at-all/x", language="en")


def test_reading_twice_gives_the_same(write: Write) -> None:
    dataset = JsonlDataset(path=str(write(GOOD * 3)), language="en")
    assert list(dataset.dialogues()) == list(dataset.dialogues())


MALFORMED = [
    (b'{"topic": "t", "turns": ["a", "b"]', "not valid JSON at column 35"),
    (b"hello", "not valid JSON at column 1"),
    (b'{"topic": "t", "turns": ["a"]} {"topic": "t", "turns": ["a"]}', "one object a line"),
    (b"[" * 100_000, "not readable as JSON"),
    (b'{"topic": "t", "turns": [], "n": ' + b"1" * 5000 + b"}", "not readable as JSON"),
    (b'["a", "b"]', "the line is a list; it should be an object"),
    (b"null", "the line is null; it should be an object"),
    (b'"hello"', "the line is a text; it should be an object"),
    (b'{"turns": ["a", "b"]}', '"topic" is missing; it should be a text'),
    (b'{"topic": "", "turns": ["a", "b"]}', '"topic" is empty'),
    (b'{"topic": " \\n ", "turns": ["a", "b"]}', '"topic" is empty'),
    (b'{"topic": 7, "turns": ["a", "b"]}', '"topic" is a number; it should be a text'),
    (b'{"topic": null, "turns": ["a", "b"]}', '"topic" is null; it should be a text'),
    (b'{"topic": "t"}', '"turns" is missing; it should be a list'),
    (b'{"topic": "t", "turns": "a"}', '"turns" is a text; it should be a list'),
    (b'{"topic": "t", "turns": {"a": "b"}}', '"turns" is an object; it should be a list'),
    (b'{"topic": "t", "turns": [1, 2]}', "turn 1 is a number; it should be a text or"),
    (b'{"topic": "t", "turns": [["a"], ["b"]]}', "turn 1 is a list; it should be a text or"),
    (b'{"topic": "t", "turns": ["a", true]}', '"turns" mixes kinds'),
    (b'{"topic": "t", "turns": ["a", {"speaker": "x", "text": "b"}]}', '"turns" mixes kinds'),
    (
        b'{"topic": "t", "turns": [{"speaker": "x", "text": "a"}, {"speaker": "y"}]}',
        'turn 2: "text" is missing',
    ),
    (b'{"topic": "t", "turns": [{"speaker": "x", "text": false}]}', 'turn 1: "text" is a boolean'),
    (b'{"topic": "t", "turns": [{"text": "a"}]}', 'turn 1: "speaker" is missing'),
    (b'{"topic": "t", "turns": [{"speaker": " ", "text": "a"}]}', 'turn 1: "speaker" is empty'),
    (b'{"topic": "t", "turns": ["a", "\\ud83d"]}', "turn 2 holds \\ud83d, half of a character"),
    (b'{"topic": "t", "turns": ["a", "b"], "id": 3}', '"id" is a number; it should be a text'),
    (b'{"topic": "t", "turns": ["a", "b"], "id": " "}', '"id" is empty'),
    (b'{"topic": "t", "turns": ["a", "b"], "id": "my.jsonl:1"}', '"id" "my.jsonl:1" is that of line 1'),
    (b'{"topic": "t", "turns": ["\xe4", "b"]}', "byte 27 of the line is not UTF-8"),
]


@pytest.mark.parametrize(("line", "problem"), MALFORMED, ids=[problem for _, problem in MALFORMED])
def test_a_malformed_line_is_named(write: Write, line: bytes, problem: str) -> None:
    path = write(GOOD + b"\n" + line + b"\n" + GOOD)
    with pytest.raises(DataError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:3: ")
    assert problem in message
    assert "\n" not in message


@pytest.mark.parametrize("content", [b"", b"\n\n  \n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
def test_an_empty_file_is_refused(write: Write, content: bytes) -> None:
    path = write(content)
    with pytest.raises(DataError, match="holds no dialogue; it should hold one a line") as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}:1: ")


def test_a_truncated_gzip_is_named_with_its_line(write: Write) -> None:
    lines = b"".join(b'{"topic": "t", "turns": ["%s", "b"]}\n' % os.urandom(40).hex().encode() for _ in range(2000))
    path = write(gzip.compress(lines)[:-20_000])
    dialogues: list[Dialogue] = []
    with pytest.raises(DataError, match="the gzip data are broken from here on") as caught:
        dialogues.extend(JsonlDataset(path=str(path), language="en").dialogues())
    assert len(dialogues) > 100
    assert str(caught.value).startswith(f"{path}:{len(dialogues) + 1}: ")


@pytest.mark.parametrize("cut", [5, 30, -1])
def test_a_gzip_cut_anywhere_is_named(write: Write, cut: int) -> None:
    with pytest.raises(DataError, match=r"my\.jsonl:\d+: the gzip data are broken"):
        read(write(gzip.compress(GOOD)[:cut]))


def test_a_gzip_with_a_wrong_byte_is_named(write: Write) -> None:
    content = bytearray(gzip.compress(GOOD * 9))
    content[-6] ^= 0xFF  # in the checksum
    with pytest.raises(DataError, match=r"my\.jsonl:\d+: the gzip data are broken"):
        read(write(bytes(content)))


def test_plain_text_called_gz_is_named(tmp_path: Path) -> None:
    path = tmp_path / "my.jsonl.gz"
    path.write_bytes(GOOD)
    with pytest.raises(DataError, match=r"my\.jsonl\.gz:1: .*plain text without the ending \.gz"):
        read(path)


def test_utf16_is_named(write: Write) -> None:
    with pytest.raises(DataError, match=r"my\.jsonl:1: byte 1 of the line is not UTF-8; save the file as UTF-8"):
        read(write(GOOD.decode().encode("utf-16")))


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl: cannot be read: No such file.*should name a \.jsonl"):
        read(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read(tmp_path)
