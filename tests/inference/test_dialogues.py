"""Conversion of dialogues and contexts from Python objects, files and requests."""

import io
import json
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.errors import DataError
from metadialog.inference.dialogues import as_dialogues, as_turns, parse_dialogues, replier
from metadialog.inference.folder import to_jsonl

TWO = [
    (("user", "hi"), ("bot", "hello")),
    (("user", "bye"), ("bot", "see you"), ("user", "yes")),
]


def spoken(dialogues: list[Dialogue]) -> list[tuple[tuple[str, str], ...]]:
    return [tuple((turn.speaker, turn.text) for turn in one.turns) for one in dialogues]


@pytest.mark.parametrize(
    "text",
    [
        '["hi", "hello"]\n["bye", "see you", "yes"]\n',
        '\ufeff{"topic": "t", "turns": ["hi", "hello"]}\n\n{"turns": ["bye", "see you", "yes"]}\n',
        '[["hi", "hello"], ["bye", "see you", "yes"]]',
        '{"dialogues": [["hi", "hello"], ["bye", "see you", "yes"]]}',
        '[{"turns": [{"speaker": "user", "text": "hi"}, {"text": "hello"}]},\n{"turns": ["bye", "see you", "yes"]}]',
        "hi\nhello\n\n\nbye\nsee you\nyes\n",
        "user: hi\nbot: hello\n\nuser: bye\nbot: see you\nuser: yes",
    ],
)
def test_every_way_of_writing_dialogues(text: str, tmp_path: Path) -> None:
    assert spoken(parse_dialogues(text, "mine.txt")) == TWO
    file = tmp_path / "mine.txt"
    file.write_text(text, encoding="utf-8")
    assert spoken(as_dialogues(file)) == TWO


def test_what_is_written_is_read() -> None:
    dialogues = as_dialogues([["hi", "hello"], {"topic": "later", "turns": ["bye", "see you"]}])
    assert parse_dialogues(to_jsonl(dialogues), "x") == dialogues


def test_the_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("你好\n再见\n".encode())))
    assert spoken(as_dialogues("-")) == [(("user", "你好"), ("bot", "再见"))]


def test_other_formats_are_found_out(tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    rows = ["id,topic,speaker,text", "1,t,user,hi", "1,t,bot,hello", "2,t,user,bye", "2,t,bot,see you", "2,t,user,yes"]
    table.write_text("\n".join(rows).replace("id,", "dialogue_id,", 1), "utf-8")
    assert spoken(as_dialogues(table)) == TWO
    chats = tmp_path / "chats.jsonl"
    chats.write_text('{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}\n')
    assert spoken(as_dialogues(chats)) == [(("user", "hi"), ("assistant", "hello"))]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    "files",
    [
        {"1.txt": "user: hi\nbot: hello\n", "2.txt": "user: bye\nbot: see you\nuser: yes\n"},
        {"1.json": '{"turns": ["hi", "hello"]}', "2.json": '{"turns": ["bye", "see you", "yes"]}'},
        {"1.csv": "id,speaker,text\n1,user,hi\n1,bot,hello\n2,user,bye\n2,bot,see you\n2,user,yes\n"},
    ],
)
def test_a_folder_or_a_zip_file_is_read(files: dict[str, str], zipped: bool, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "topic").mkdir(parents=True)
    for name, text in files.items():
        (folder / "topic" / name).write_text(text, "utf-8")
    assert spoken(as_dialogues(shutil.make_archive(str(folder), "zip", folder) if zipped else folder)) == TWO


def test_files_that_are_not_read_say_what_helps(tmp_path: Path) -> None:
    (tmp_path / "mine.xls").write_bytes(b"\xd0\xcf\x11")
    with pytest.raises(DataError, match=r"mine\.xls: files ending in \.xls are not read; save the table as \.xlsx"):
        as_dialogues(tmp_path / "mine.xls")


def test_chinese_speakers_have_a_colon_of_their_own() -> None:
    assert spoken(parse_dialogues("甲：你好\n乙：再见\n甲：好", "x")) == [
        (("甲", "你好"), ("乙", "再见"), ("甲", "好"))
    ]


def test_a_colon_within_a_turn_names_no_speaker() -> None:
    assert spoken(parse_dialogues("note: it rains\nwell then", "x")) == [
        (("user", "note: it rains"), ("bot", "well then"))
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        ('["a", "b"]\n["c"', "mine:2: not valid JSON"),
        ('{"turns": "a"}', "is a text; a dialogue should be a list of turns"),
        ('{"topic": "a"}', 'has no "turns"'),
        ('[["a", 3]]', "turn 2: is a number; a turn should be"),
        ('["a", "b"]\n["c", null]', "mine:2, turn 2: is null"),
        ('["a", "\\ud83d"]', "half of a character"),
        ("[" * 100_000, "mine:1: not valid JSON"),
    ],
)
def test_what_is_wrong_and_where(text: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem) as caught:
        parse_dialogues(text, "mine")
    assert str(caught.value).startswith("mine")
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        as_dialogues(tmp_path / "none")
    (tmp_path / "latin").write_bytes("Grüße".encode("latin-1"))
    with pytest.raises(DataError, match="byte 3 is not UTF-8"):
        as_dialogues(tmp_path / "latin")
    with pytest.raises(DataError, match="is one dialogue"):
        as_dialogues(Dialogue("t", (Turn("a", "b"),), "i"))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="holds no dialogue"):
        as_dialogues([])


def test_the_user_has_the_last_word_of_a_context() -> None:
    turns = as_turns(["a", "b", "c"])
    assert [turn.speaker for turn in turns] == ["user", "bot", "user"]
    assert [turn.speaker for turn in as_turns(["a", "b"])] == ["bot", "user"]
    assert replier(turns) == replier(as_turns("a")) == "bot"
    assert replier([Turn("Ann", "x"), Turn("Ben", "y")]) == "Ann"
    assert replier([Turn("bot", "x")]) == "user"


WITHOUT_TOPICS = ["id,speaker,text", "1,user,hi", "1,bot,hello", "2,user,bye", "2,bot,see you", "2,user,yes"]
WITH_TOPICS = ["id,label,speaker,text", "1,a,user,hi", "1,b,bot,hello", "2,,user,bye", "2,c,bot,see you", "2,,user,yes"]
WHATSAPP = """\
31/12/2023, 10:02 - Messages are end-to-end encrypted.
31/12/2023, 10:02 - Ann: hi
31/12/2023, 10:03 - Ben: hello
01/01/2024, 10:02 - Ann: bye
01/01/2024, 10:03 - Ben: see you
01/01/2024, 10:04 - Ann: yes
"""


def sheet(lines: list[str], file: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for line in lines:
        book.active.append([cell or None for cell in line.split(",")])
    book.save(file)


@pytest.mark.parametrize("lines", [WITHOUT_TOPICS, WITH_TOPICS], ids=["no topics", "several topics"])
@pytest.mark.parametrize("ending", [".csv", ".tsv", ".xlsx"])
def test_a_table_is_one_topic(lines: list[str], ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"bicycle_hire{ending}"
    if ending == ".xlsx":
        sheet(lines, file)
    else:
        file.write_text("\n".join(lines).replace(",", "\t" if ending == ".tsv" else ","), encoding="utf-8")
    found = as_dialogues(file)
    assert spoken(found) == TWO
    assert {dialogue.topic for dialogue in found} == {"bicycle hire"}


@pytest.mark.parametrize(
    ("text", "speakers"),
    [("hi\nhello\n\nbye\nsee you\nyes\n", ("user", "bot")), (WHATSAPP, ("Ann", "Ben"))],
    ids=["plain text", "WhatsApp"],
)
def test_a_text_is_one_topic(text: str, speakers: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "hire.txt").write_text(text, encoding="utf-8")
    found = as_dialogues(tmp_path / "hire.txt")
    names = dict(zip(("user", "bot"), speakers, strict=True))
    assert spoken(found) == [tuple((names[speaker], said) for speaker, said in one) for one in TWO]
    assert {dialogue.topic for dialogue in found} == {"hire"}


@pytest.mark.parametrize(
    "kind", ["csv", "semicolons of Excel", "xlsx", "zip", "plain text", "WhatsApp", "openai", "array"]
)
def test_formats_of_the_standard_input(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "xlsx":
        sheet(WITHOUT_TOPICS, tmp_path / "mine.xlsx")
        content = (tmp_path / "mine.xlsx").read_bytes()
    elif kind == "zip":
        with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
            archive.writestr("_chat.txt", WHATSAPP.replace("Ann", "user").replace("Ben", "bot"))
        content = (tmp_path / "mine.zip").read_bytes()
    else:
        chats = [{"messages": [{"role": speaker, "content": text} for speaker, text in one]} for one in TWO]
        texts = {
            "csv": "\n".join(WITHOUT_TOPICS),
            "semicolons of Excel": "\n".join(["sep=;", *(line.replace(",", ";") for line in WITHOUT_TOPICS)]),
            "array": json.dumps(chats, indent=1),
            "plain text": "user: hi\nbot: hello\n\nuser: bye\nbot: see you\nuser: yes",
            "WhatsApp": WHATSAPP.replace("Ann", "user").replace("Ben", "bot"),
            "openai": "\n".join(json.dumps(chat) for chat in chats),
        }
        content = texts[kind].encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert spoken(as_dialogues("-")) == TWO


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[{"question": "hi", "answer": "hello"}]', 'has no "turns"'),
        ('[{"turns": ["a", "b"]}', "not valid JSON"),
        ("Frage;Antwort\nWas?;Das.\nWer?;Ich.\n", "has no column 'dialogue_id'"),
        ("[]", "holds no dialogue"),
    ],
)
def test_what_is_no_talk_is_not_taken_for_one(text: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    with pytest.raises(DataError, match=f"^standard input.*{problem}"):
        as_dialogues("-")


def test_commas_in_plain_text_make_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Hello, Ann\nHi, Ben\nWell, good\n")))
    assert len(as_dialogues("-")[0].turns) == 3


def test_a_table_that_cannot_be_read_names_what_helps(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("id,speaker,said\n1,user,hi\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"mine\.csv:1: has no column 'text'.* \(`metadialog data dataset=auto"):
        as_dialogues(file)
