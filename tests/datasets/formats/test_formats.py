"""Formats of users' dialogues; the files are hand-made in the formats of the programs that export them."""

import json
import re
import shutil
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metadialog.datasets.anonymise import anonymise
from metadialog.datasets.auto import AutoDataset, Name
from metadialog.datasets.corpus import build_corpus
from metadialog.datasets.dialogue import Dataset
from metadialog.datasets.formats.detection import FORMATS
from metadialog.errors import DataError
from metadialog.inference.dialogues import as_dialogues

Run = Callable[..., Any]
Said = tuple[str, list[tuple[str, str]]]


def dataset(path: Path, **options: Any) -> AutoDataset:
    return AutoDataset(path=str(path), language="en", **options)


def said(path: Path, **options: Any) -> list[Said]:
    return [(d.topic, [(turn.speaker, turn.text) for turn in d.turns]) for d in dataset(path, **options).dialogues()]


def write(path: Path, content: object, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    path.write_bytes(text.encode(encoding))
    return path


def logs_in_folders(folder: Path) -> Path:
    write(folder / "logs" / "hotel" / "1.txt", "[10:02] Anna: A room?\r\n[10:03] Desk: Yes: one.\r\nWith a view.\r\n")
    write(folder / "logs" / "train" / "1.log", "Anna: When?\n\nDesk: See http://x.y\n")
    return folder / "logs"


def logs_in_a_file(folder: Path) -> Path:
    return write(folder / "food.txt", "A: hi\nB: ho\n\nA: tea?\nB: yes\n----\nA：盐？\nB：好\n")


def whatsapp_of_ios(folder: Path) -> Path:
    mark = "\u200e"
    return write(
        folder / "WhatsApp Chat with Bo.txt",
        f"[31.12.23, 10:02:11] Bo: {mark}Messages and calls are end-to-end encrypted.\n"
        "[31.12.23, 10:02:12] Anna M: Hi\n"
        "[31.12.23, 10:03:11] Bo: Hello\nyou\n"
        f"{mark}[31.12.23, 10:04:11] Anna M: {mark}image omitted\n"
        "[01.01.24, 20:02:11] Anna M: Happy new year\n"
        "[01.01.24, 20:03:11] Bo: Thanks\n",
    )


def whatsapp_of_android(folder: Path) -> Path:
    return write(
        folder / "chat.txt",
        "12/31/23, 11:59 PM - Messages are encrypted\n12/31/23, 11:59 PM - Anna: Hi\n"
        "1/1/24, 12:01 AM - Bo: Hello\n1/1/24, 12:02 AM - Anna added Carl\n"
        "1/1/24, 12:03\u202fAM - Anna: <Media omitted>\n",
    )


def whatsapp_of_a_zip(folder: Path) -> Path:
    path = folder / "WhatsApp Chat - Bo.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("_chat.txt", "[2023/12/31 下午11:02:11] Anna: Hi\n[2023/12/31 晚上11:03:11] 李四：好\n")
    return path


def whatsapp_copied(folder: Path) -> Path:
    return write(folder / "two.txt", "[10:02, 31/12/2023] Anna: Hi\n[10:03, 31/12/2023] Bo: Ho\n")


def telegram(folder: Path) -> Path:
    messages = [
        {"id": 1, "type": "service", "date": "2023-01-01T10:00:00", "action": "phone_call"},
        {"id": 2, "type": "message", "date": "2023-01-01T10:00:00", "from": "Anna", "text": ["See ", {"text": "x.y"}]},
        {"id": 3, "type": "message", "date": "2023-01-01T10:01:00", "from": "Bo", "text": "Ok"},
    ]
    return write(
        folder / "export" / "result.json", {"name": "Bo", "type": "personal_chat", "id": 9, "messages": messages}
    ).parent


def telegram_of_all_chats(folder: Path) -> Path:
    telegram(folder)
    chat = json.loads((folder / "export" / "result.json").read_text())
    return write(folder / "all.json", {"about": "...", "chats": {"list": [chat, chat | {"name": "Two", "id": 10}]}})


def slack(folder: Path) -> Path:
    write(folder / "slack" / "users.json", [{"id": "U1", "name": "anna", "real_name": "Anna A"}])
    message = {"type": "message", "ts": "1700000000.0001"}
    messages = [
        message | {"user": "U1", "text": "Who?"},
        message | {"user": "U2", "text": "You, <@U1> &amp; <http://x.y|x>", "ts": "1700000060.0"},
        message | {"user": "U2", "text": "joined", "ts": "1700000061.0", "subtype": "channel_join"},
        message | {"user": "U2", "text": "When?", "ts": "1700000062.5", "thread_ts": "1700000062.5"},
        message | {"user": "U1", "text": "Never", "ts": "1700900000.5", "thread_ts": "1700000062.5"},
    ]
    write(folder / "slack" / "help" / "2023-11-14.json", messages)
    return folder / "slack"


def rasa(folder: Path) -> Path:
    steps = "  steps:\n  - intent: greet\n  - action: utter_greet\n  - slot_was_set:\n    - x: y\n"
    story = "- story: two\n  steps:\n  - user: |\n      hello there\n  - bot: Hi!\n"
    write(folder / "rasa" / "data" / "stories.yml", f'version: "3.1"\nstories:\n- story: one\n{steps}{story}')
    write(
        folder / "rasa" / "data" / "nlu.yml", "nlu:\n- intent: greet\n  examples: |\n    - I'm [Anna](name)\n    - hi\n"
    )
    write(folder / "rasa" / "domain.yml", "responses:\n  utter_greet:\n  - text: Hey!\n")
    write(folder / "rasa" / "e2e.yml", "test_cases:\n- test_case: a\n  steps:\n  - user: yo\n  - utter: utter_greet\n")
    return folder / "rasa"


def rasa_tracker(folder: Path) -> Path:
    events = [{"event": "action", "name": "x"}, {"event": "user", "text": "yo"}, {"event": "bot", "text": "Hey!"}]
    return write(folder / "trackers.json", [{"sender_id": "1", "events": events}])


def dialogflow(folder: Path) -> Path:
    write(folder / "agent" / "agent.json", {"language": "en"})
    messages = [{"type": "0", "lang": "en", "speech": ["We open at 9."]}]
    write(folder / "agent" / "intents" / "hours.json", {"name": "hours", "responses": [{"messages": messages}]})
    phrases = [{"data": [{"text": "open "}, {"text": "today", "meta": "@sys.date"}, {"text": "?"}]}]
    write(folder / "agent" / "intents" / "hours_usersays_en.json", phrases)
    return folder / "agent"


def botpress(folder: Path) -> Path:
    data = {"questions": {"en": ["Open?", "Hours?"]}, "answers": {"en": ["At 9."]}, "contexts": ["shop"]}
    return write(folder / "qna.json", {"qnas": [{"id": "1", "data": data}]})


def label_studio(folder: Path) -> Path:
    turns = [{"author": "A", "text": "x"}, {"author": "B", "text": "y"}]
    result = [{"type": "choices", "value": {"choices": ["refund"]}}]
    return write(folder / "ls.json", [{"id": 7, "data": {"dialogue": turns}, "annotations": [{"result": result}]}])


def openai(folder: Path) -> Path:
    messages = [
        {"role": "system", "content": "Be nice."},
        {"role": "user", "content": [{"type": "text", "text": "Q?"}, {"type": "image_url", "image_url": {}}]},
        {"role": "tool", "content": "{}"},
        {"role": "assistant", "content": "A."},
    ]
    line = json.dumps({"messages": messages, "metadata": {"topic": "shop"}})
    return write(folder / "chat.jsonl", f"{line}\n{line}\n")


def sharegpt(folder: Path) -> Path:
    turns = [{"from": "human", "value": "Q?"}, {"from": "gpt", "value": "A."}]
    return write(folder / "sg.json", [{"id": "x", "conversations": turns}])


def own_array(folder: Path) -> Path:
    return write(folder / "own.json", json.dumps([{"topic": "t", "turns": ["a", "b"]}], indent=2))


def semicolons(folder: Path) -> Path:
    rows = (
        'Ticket;Category;Sender;Message\r\n1;hotel;Anna;"Hi; ""you"""\r\n;;Desk;Hello\r\n2;train;Anna;x\r\n;;Desk;y\r\n'
    )
    return write(folder / "my.csv", rows, "utf-8-sig")


def utf16(folder: Path) -> Path:
    return write(
        folder / "my.csv", "sep=\t\r\ndialogue_id\ttopic\tspeaker\ttext\r\n1\tx\tA\tgrüß\r\n1\tx\tB\t你好\r\n", "utf-16"
    )


def excel(folder: Path) -> Path:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in (["ID", "Topic", "From", "Text"], [1, "hotel", "Anna", "Hi"], [None, None, "Desk", 7], [None] * 4):
        sheet.append(row)
    book.save(folder / "my.xlsx")
    return folder / "my.xlsx"


def text_of_excel(folder: Path) -> Path:
    return write(folder / "my.txt", "dialogue_id\ttopic\tspeaker\ttext\r\n1\tx\tA\thi\r\n1\tx\tB\tho\r\n", "utf-16")


def excel_with_a_title(folder: Path) -> Path:
    book = openpyxl.Workbook()
    sheet = book.create_sheet("Data")
    moment = datetime(2024, 1, 31, 10, 2)  # noqa: DTZ001 - cells have no time zone
    for row in (
        ["Our tickets"],
        [],
        ["ID", "Topic", "From", "Text"],
        [1, "hotel", "A", moment],
        [1, "hotel", "B", "ho"],
    ):
        sheet.append(row)
    book.save(folder / "my.xlsx")
    return folder / "my.xlsx"


def logs_of_a_program(folder: Path) -> Path:
    write(folder / "logs" / "README.md", "Our logs.\n")
    write(folder / "logs" / "a" / "1.log", "2024-01-31T10:02:11Z INFO A: hi\n2024-01-31T10:02:12Z INFO B: ho\n")
    write(folder / "logs" / "a" / "2.log", "[10:02] <A> hi\n\nand more\n[10:03] <B> ho\n")
    write(folder / "logs" / "a" / "3.md", "**A:** hi\n\n**B:** ho\n")
    return folder / "logs"


def json_in_a_key(folder: Path) -> Path:
    return write(folder / "all.json", {"version": 1, "dialogues": [["hi", "ho"], ["a", "b"]]}, "utf-16")


def json_by_id(folder: Path) -> Path:
    return write(folder / "all.json", {"d1": {"turns": ["a", "b"]}, "d2": {"turns": ["c", "d"]}})


def label_studio_of_texts(folder: Path) -> Path:
    return write(folder / "ls.json", [{"id": 7, "data": {"text": "A: hi\nB: ho"}, "annotations": []}])


def rasa_rules(folder: Path) -> Path:
    rule = "rules:\n- rule: x\n  steps:\n  - or:\n    - intent: greet\n    - intent: bye\n  - action: utter_greet\n"
    said = "nlu:\n- intent: greet\n  examples: |\n    - hey\nresponses:\n  utter_greet:\n  - text: Hello!\n"
    return write(folder / "rules.yml", rule + said)


AB = [("A", "hi"), ("B", "ho")]
CASES: dict[str, tuple[Callable[[Path], Path], str, list[Said]]] = {
    "logs in folders": (
        logs_in_folders,
        "logs",
        [
            ("hotel", [("Anna", "A room?"), ("Desk", "Yes: one.\nWith a view.")]),
            ("train", [("Anna", "When?"), ("Desk", "See http://x.y")]),
        ],
    ),
    "logs in a file": (
        logs_in_a_file,
        "logs",
        [("food", AB), ("food", [("A", "tea?"), ("B", "yes")]), ("food", [("A", "盐？"), ("B", "好")])],
    ),
    "whatsapp of ios": (
        whatsapp_of_ios,
        "whatsapp",
        [
            ("Bo", [("Anna M", "Hi"), ("Bo", "Hello\nyou")]),
            ("Bo", [("Anna M", "Happy new year"), ("Bo", "Thanks")]),
        ],
    ),
    "whatsapp of android": (whatsapp_of_android, "whatsapp", [("chat", [("Anna", "Hi"), ("Bo", "Hello")])]),
    "whatsapp of a zip": (whatsapp_of_a_zip, "whatsapp", [("Bo", [("Anna", "Hi"), ("李四", "好")])]),
    "whatsapp copied": (whatsapp_copied, "whatsapp", [("two", [("Anna", "Hi"), ("Bo", "Ho")])]),
    "text of excel": (text_of_excel, "table", [("x", AB)]),
    "excel with a title": (excel_with_a_title, "table", [("hotel", [("A", "2024-01-31 10:02:00"), ("B", "ho")])]),
    "logs of a program": (
        logs_of_a_program,
        "logs",
        [("a", AB), ("a", [("A", "hi\nand more"), ("B", "ho")]), ("a", AB)],
    ),
    "json in a key": (
        json_in_a_key,
        "json",
        [("all", [("user", "hi"), ("bot", "ho")]), ("all", [("user", "a"), ("bot", "b")])],
    ),
    "json by id": (
        json_by_id,
        "json",
        [("all", [("user", "a"), ("bot", "b")]), ("all", [("user", "c"), ("bot", "d")])],
    ),
    "label studio of texts": (label_studio_of_texts, "label_studio", [("ls", AB)]),
    "rasa rules": (rasa_rules, "rasa", [("rules", [("user", "hey"), ("bot", "Hello!")])]),
    "telegram": (telegram, "telegram", [("Bo", [("Anna", "See x.y"), ("Bo", "Ok")])]),
    "telegram of all chats": (
        telegram_of_all_chats,
        "telegram",
        [(name, [("Anna", "See x.y"), ("Bo", "Ok")]) for name in ("Bo", "Two")],
    ),
    "slack": (
        slack,
        "slack",
        [("help", [("Anna A", "Who?"), ("U2", "You, @Anna A & x")]), ("help", [("U2", "When?"), ("Anna A", "Never")])],
    ),
    "rasa": (
        rasa,
        "rasa",
        [
            ("stories", [("user", "I'm Anna"), ("bot", "Hey!")]),
            ("stories", [("user", "hello there"), ("bot", "Hi!")]),
            ("e2e", [("user", "yo"), ("bot", "Hey!")]),
        ],
    ),
    "rasa tracker": (rasa_tracker, "rasa_tracker", [("trackers", [("user", "yo"), ("bot", "Hey!")])]),
    "dialogflow": (dialogflow, "dialogflow", [("hours", [("user", "open today?"), ("bot", "We open at 9.")])]),
    "botpress": (
        botpress,
        "botpress",
        [("shop", [("user", question), ("bot", "At 9.")]) for question in ("Open?", "Hours?")],
    ),
    "label studio": (label_studio, "label_studio", [("refund", [("A", "x"), ("B", "y")])]),
    "openai": (openai, "openai", [("shop", [("user", "Q?"), ("assistant", "A.")])] * 2),
    "sharegpt": (sharegpt, "sharegpt", [("sg", [("user", "Q?"), ("assistant", "A.")])]),
    "own array": (own_array, "json", [("t", [("user", "a"), ("bot", "b")])]),
    "semicolons": (
        semicolons,
        "table",
        [("hotel", [("Anna", 'Hi; "you"'), ("Desk", "Hello")]), ("train", [("Anna", "x"), ("Desk", "y")])],
    ),
    "utf-16": (utf16, "table", [("x", [("A", "grüß"), ("B", "你好")])]),
    "excel": (excel, "table", [("hotel", [("Anna", "Hi"), ("Desk", "7")])]),
}


@pytest.mark.parametrize("case", CASES)
def test_a_format_is_recognised_and_read(case: str, tmp_path: Path) -> None:
    make, name, expected = CASES[case]
    path = make(tmp_path)
    assert dataset(path).format.name == name
    assert said(path) == expected
    assert said(path, format=name) == expected
    ids = [dialogue.id for dialogue in dataset(path).dialogues()]
    assert len(set(ids)) == len(ids)


def test_every_format_is_tried_and_is_a_choice() -> None:
    assert {name for _, name, _ in CASES.values()} == set(FORMATS) == set(get_args(Name))


CHAT = "13/01/2024, 09:00 - Anna: Hi\n13/01/2024, 09:01 - Bo: Ho\n"
LOG = "A: hi\nB: ho\n"
TABLE = "id,speaker,text\n1,A,hi\n1,B,ho\n"


@pytest.mark.parametrize(
    ("files", "detected", "listed"),
    [
        ({"a.txt": CHAT, "b.txt": LOG}, "an export of WhatsApp", "logs: b.txt"),
        (
            {"a.txt": LOG, "b.csv": TABLE, "c/d.txt": CHAT},
            "a table with a row a turn",
            "logs: a.txt; whatsapp: c/d.txt",
        ),
        ({"a.json": '{"turns": ["a", "b"]}', "b.txt": LOG}, "JSON with a list of turns a dialogue", "logs: b.txt"),
        (
            {f"{n}.txt": CHAT if n == 1 else LOG for n in range(1, 6)},
            "an export of WhatsApp",
            "logs: 2.txt, 3.txt and 2 ",
        ),
    ],
)
def test_a_folder_of_several_formats_is_refused(
    tmp_path: Path, files: dict[str, str], detected: str, listed: str
) -> None:
    for name, content in files.items():
        write(tmp_path / "mine" / name, content)
    problem = f"mine: was taken for {detected}, but holds files of other formats as well ({listed}"
    for read in (lambda: said(tmp_path / "mine"), lambda: as_dialogues(tmp_path / "mine")):
        with pytest.raises(DataError, match=re.escape(problem)) as caught:
            read()
        assert "dataset.format=" in str(caught.value)


def test_a_format_that_is_set_reads_the_files_of_that_format(tmp_path: Path) -> None:
    files = {"a.txt": CHAT, "b.txt": LOG, "c.csv": TABLE, "notes.txt": "nothing", "scan.pdf": "%PDF", ".hidden": ""}
    for name, content in files.items():
        write(tmp_path / "mine" / name, content)
    for name, topic, others in (
        ("whatsapp", "a", "b.txt, c.csv, notes.txt, scan.pdf"),
        ("table", "c", "a.txt, b.txt, notes.txt, scan.pdf"),
    ):
        source = dataset(tmp_path / "mine", format=name)
        assert [dialogue.topic for dialogue in source.dialogues()] == [topic]
        assert source.not_read() == f"not read: {others}"
    assert said(write(tmp_path / "chat.txt", CHAT)) == [("chat", [("Anna", "Hi"), ("Bo", "Ho")])]


def test_records_of_the_same_kind_and_attachments_are_no_other_format(tmp_path: Path) -> None:
    openai(tmp_path)
    sharegpt(tmp_path)
    assert [topic for topic, _ in said(tmp_path)] == ["shop", "shop", "sg"]
    path = telegram(tmp_path / "chats")
    write(path / "files" / "prices.csv", TABLE)
    assert [topic for topic, _ in said(path)] == ["Bo"]
    assert dataset(path).not_read() == "not read: files/prices.csv"


def test_columns_and_keys_are_mapped(tmp_path: Path) -> None:
    rows = "nr,kind,by,what,text\n1,x,A,hi,no\n1,x,B,ho,no\n"
    columns = {"dialogue_id": "nr", "topic": "kind", "speaker": "by", "text": "what"}
    assert said(write(tmp_path / "my.csv", rows), columns=columns) == [("x", AB)]
    turns = [{"by": "A", "what": "hi", "text": "no"}, {"by": "B", "what": "ho", "text": "no"}]
    record = {"kind": "x", "nr": 5, "turns": turns, "topic": "no"}
    path = write(tmp_path / "my.json", [record])
    assert said(path, columns=columns) == [("x", AB)]
    assert next(dataset(path, columns=columns).dialogues()).id == "5"


@pytest.mark.parametrize("zipped", [False, True])
def test_a_topic_may_be_a_folder(tmp_path: Path, zipped: bool) -> None:
    for topic, text in (("space_travel", "a"), ("food", "b")):
        write(tmp_path / "mine" / topic / "1.json", {"turns": [text, "no"]})
    path = Path(shutil.make_archive(str(tmp_path / "mine"), "zip", tmp_path, "mine")) if zipped else tmp_path / "mine"
    assert [dialogue.id for dialogue in dataset(path).dialogues()] == ["food/1:1", "space_travel/1:1"]
    assert [topic for topic, _ in said(path)] == ["food", "space travel"]


def test_silence_ends_a_dialogue_in_a_chat(tmp_path: Path) -> None:
    path = whatsapp_of_ios(tmp_path)
    assert len(said(path, gap=6.0)) == 2
    assert len(said(path, gap=48.0)) == 1


@pytest.mark.parametrize(
    ("name", "content", "options", "problem"),
    [
        (
            "my.xyz",
            "what is this",
            {},
            r"my\.xyz: its format is not recognised; dataset\.format should say it: ",
        ),
        ("my.txt", "A: hi\nB: ho", {"format": "telegram"}, r"my\.txt:1:1: not valid JSON"),
        ("my.txt", "just text\nA: hi\nB: ho\nA: x\nB: y", {}, r"my\.txt:1: line 1, 'just text', has no speaker"),
        (
            "my.json",
            [{"turns": [{"x": "y"}]}],
            {},
            r"my\.json: \[0\]: turns\[0\] has no speaker and text; ",
        ),
        ("my.json", [{"turns": ["a", "b"]}, 3], {}, r"my\.json: \[1\]: is int; it should be an object"),
        (
            "my.json",
            [{"turns": ["a"]}],
            {"columns": {"topic": "kind"}},
            r"my\.json: \[0\]: kind is None; it should",
        ),
        (
            "my.csv",
            "a,b\n1,2\n",
            {},
            r"my\.csv:1: has no column 'dialogue_id'.*: it has 'a'",
        ),
        (
            "my.csv",
            "id,topic,speaker,text\n1,x,A,gr\xfc\xdf\n",
            {"encoding": "ascii"},
            r"my\.csv:2: byte 9 of the line",
        ),
        ("my.txt", "[99.99.23, 10:02] A: x\n", {"format": "whatsapp"}, r"my\.txt:1: 99\.99\.23 10:02 is no date"),
        ("my.yml", "stories:\n- story: x\n", {}, r"my\.yml: stories\[0\] has no steps"),
        ("my.txt", "", {"format": "logs"}, r"my\.txt: holds no dialogue; it was read as plain text"),
        *[
            (name, text, {}, rf"{name}: is empty; it should hold dialogues")
            for name, text in (("my.txt", ""), ("my.csv", "\n\n"), ("my.json", "[]"), ("my.jsonl", "{ }\n"))
        ],
        ("my.dat", "a __eou__ b", {}, r"my\.dat: its format is not recognised; dataset\.format should say it: "),
        ("my.json", {"1": {"messages": [], "goal": [], "sys-usr": []}}, {}, r"looks like CrossWOZ as it is published"),
        ("my.xls", "x", {}, r"my\.xls: files ending in \.xls are not read; save the table as \.xlsx or \.csv"),
        ("my.zip", "x", {}, r"my\.zip: cannot be unpacked: File is not a zip file"),
        (
            "my.csv",
            "i\0d\0,\0",
            {},
            r"my\.csv:1: holds null bytes, so that it is not UTF-8; name its encoding",
        ),
        ("my.json", '[{"turns": ["a\\ud83d", "b"]}]', {}, r"my\.json: dialogue 'my:1' holds half of a character"),
        ("my.csv", "id,topic,speaker,text\n", {"columns": {"text": "Wass"}}, r"my\.csv:1: has no column 'Wass'"),
        ("my.xlsx", "no", {}, r"my\.xlsx: is no readable Excel file"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    tmp_path: Path, name: str, content: object, options: dict[str, Any], problem: str
) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(DataError, match=problem) as caught:
        list(dataset(path, **options).dialogues())
    assert "\n" not in str(caught.value)


def test_a_zip_file_that_grows_too_much_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metadialog.unpacked.ALWAYS", 100_000)
    with zipfile.ZipFile(tmp_path / "my.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", "A: hi\n" + "B" * 1_000_000)
    with pytest.raises(DataError, match=r"my\.zip: is not unpacked: it unpacks to more than [\d,]+ bytes"):
        said(tmp_path / "my.zip")


def test_what_is_wrong_in_a_zip_file_is_said_of_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "my.zip", "w") as archive:
        archive.writestr("a.csv", "a,b\n1,2\n")
    with pytest.raises(DataError, match=r"my\.zip/a\.csv:1: has no column 'dialogue_id'"):
        said(tmp_path / "my.zip")


def test_names_of_chats_are_replaced_with_those_of_their_speakers(tmp_path: Path) -> None:
    source = dataset(whatsapp_of_ios(tmp_path), anonymise=True)
    corpus = build_corpus(source.dialogues(), source.name, source.cleaning)
    (topic,) = corpus.topics
    assert re.fullmatch(r"person [0-9a-f]{4}", topic)
    assert corpus.topics[topic].ids() == (f"WhatsApp Chat with {topic}:1", f"WhatsApp Chat with {topic}:2")


def test_a_chat_that_is_called_after_people_stays_one_topic_without_their_names(tmp_path: Path) -> None:
    pairs = [("Anna", "Ben"), ("Ben", "Carl"), ("Anna", "Carl"), ("Ben", "Ben")]
    lines = [
        f"{day:02d}/01/2024, 09:0{minute} - {who}: hello {day} {minute}"
        for day, pair in enumerate(pairs, start=13)
        for minute, who in enumerate(pair)
    ]
    source = dataset(write(tmp_path / "WhatsApp Chat with Anna, Ben.txt", "\n".join(lines)), anonymise=True)
    corpus = build_corpus(source.dialogues(), source.name, source.cleaning)
    (topic,) = corpus.topics
    assert re.fullmatch(r"person [0-9a-f]{4}, person [0-9a-f]{4}", topic)
    assert corpus.dropped.one_sided == (f"WhatsApp Chat with {topic}:4",)


def test_a_member_who_is_mentioned_and_does_not_speak_is_not_named(tmp_path: Path) -> None:
    lines = ("Anna Meier: Ask @Carl, or @\u2068Dora Lang\u2069", "Bo: Carl Maier? He is ill. Mail a@b.org, @ 5pm")
    later = ("Carl Maier: I am well, Anna", "Bo: Good, @carl.m!")
    content = "\n".join(f"{day}/01/2024, 09:00 - {line}" for day, two in ((13, lines), (15, later)) for line in two)
    source = dataset(write(tmp_path / "chat.txt", content), anonymise=True)
    corpus = build_corpus(source.dialogues(), source.name, source.cleaning)
    said = [re.sub("[0-9a-f]{4}", "x", turn.text) for dialogue in corpus.topics["chat"] for turn in dialogue.turns]
    assert said == [
        "Ask @<person x>, or <mention>",
        "<person x>? He is ill. Mail <mail>, @ 5pm",
        "I am well, <person x>",
        "Good, <mention>!",
    ]


@pytest.mark.parametrize("kind", ["slack", "telegram"])
def test_an_export_names_members_who_never_speak(tmp_path: Path, kind: str) -> None:
    if kind == "slack":
        path = slack(tmp_path)
        users = [{"id": "U1", "real_name": "Anna A"}, {"id": "U3", "name": "eve", "real_name": "Eve Hill"}]
        write(path / "users.json", users)
        for file in path.glob("help/*.json"):
            file.write_text(file.read_text().replace("You,", "Eve Hill, <@U3>, Hill or eve?"))
    else:
        path = telegram(tmp_path)
        told = json.loads((path / "result.json").read_text())
        told["messages"][0] |= {"actor": "Bo", "members": ["Eve Hill"]}
        mentions = [{"type": "mention_name", "text": "Finn"}, {"type": "mention", "text": "@gus"}]
        told["messages"][2]["text"] = ["Ok, Hill, ", *mentions]
        (path / "result.json").write_text(json.dumps(told))
    source = dataset(path, anonymise=True)
    said = [turn.text for dialogue in source.dialogues() for turn in anonymise(dialogue.turns)]
    assert not any(re.search(r"\b(Eve|eve|Hill|Finn|gus)\b", text) for text in said)
    assert sum("<person " in text for text in said) == 1


def test_names_are_replaced_in_the_dialogue_that_is_shown(tmp_path: Path, run: Run) -> None:
    path = write(tmp_path / "chat.txt", "Anna Meier: I am anna@example.org\nBen: Hello Anna\n")
    options = ("dataset.anonymise=true", "split=all_held_out", "split.min_dialogues=1")
    outcome = run("data", "dataset=auto", f"dataset.path={path}", *options)
    assert outcome.code == 0, outcome.err
    assert "speaker 1: I am <mail>" in outcome.out
    assert "speaker 2: Hello <speaker 1>" in outcome.out
    assert "Anna" not in outcome.out


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing: there is no such file or folder; dataset\.path should name one"):
        list(dataset(tmp_path / "nothing").dialogues())


@given(st.binary(max_size=80), st.sampled_from(["a.txt", "a.json", "a.jsonl", "a.csv", "a.yml", "a.xlsx"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_any_bytes_cost_one_line_at_most(
    tmp_path: Path, complaint: Callable[[Dataset], str], content: bytes, name: str
) -> None:
    for start in (b"", b"[", b"A: x\nB: ", b"stories:\n- "):
        (tmp_path / name).write_bytes(start + content)
        for named in (None, *FORMATS):
            assert "\n" not in complaint(dataset(tmp_path / name, format=named))


def test_the_command_says_what_it_takes_files_for(run: Run, tmp_path: Path) -> None:
    path = logs_in_folders(tmp_path)
    write(path / "scan.pdf", "%PDF")
    outcome = run("data", "dataset=auto", f"dataset.path={path}", "split=all_held_out", "split.min_dialogues=1")
    assert outcome.code == 0, outcome.err
    assert "read as plain text with a speaker before each line (dataset.format=logs)" in outcome.out
    assert "not read: scan.pdf\n" in outcome.out
    assert "a dialogue of topic 'hotel'" in outcome.out
    assert "  Desk: Yes: one. / With a view." in outcome.out
    assert "Cleaning took nothing out." in outcome.out


@pytest.mark.parametrize(
    ("content", "choice"),
    [
        ({"SNG1.json": {"goal": {}, "log": [{"text": "Hi"}, {"text": "Yes?"}]}}, "multiwoz"),
        ([{"dialogue_id": "SNG1.json", "services": [], "turns": [{"speaker": "A", "utterance": "Hi"}]}], "multiwoz"),
        ([{"dialogue_id": "1_00000", "services": [], "turns": [{"speaker": "A", "utterance": "Hi"}]}], "sgd"),
        ([{"messages": [{"message": "好"}, {"message": "是"}], "name": "x"}], "kdconv"),
        ([{"conversation_id": "1", "utterances": [{"speaker": "A", "text": "Hi"}]}], "taskmaster"),
        ([{"turns": ["Hi", "Yes?"]}], None),
        ([{"messages": [{"role": "user", "content": "Hi"}], "name": "x"}], None),
    ],
)
def test_files_of_a_published_data_set_are_named(tmp_path: Path, content: object, choice: str | None) -> None:
    said = dataset(write(tmp_path / "data.json", content)).published_as()
    assert (said is None) if choice is None else (said is not None and f"dataset={choice} dataset.root=" in said)


def test_an_archive_of_archives_is_named(tmp_path: Path) -> None:
    """MetaLWOz's evaluation data are a zip file of zip files."""
    with zipfile.ZipFile(tmp_path / "metalwoz-test-v1.zip", "w") as archive:
        archive.writestr("dstc8_metalwoz_heldout.zip", b"PK\x05\x06")
    with pytest.raises(DataError, match=r"looks like MetaLWOz as it is published: dataset=metalwoz dataset\.root="):
        said(tmp_path / "metalwoz-test-v1.zip")


def test_other_choices_say_what_a_folder_is_for(run: Run, tmp_path: Path) -> None:
    outcome = run("data", "dataset=jsonl", f"dataset.path={logs_in_folders(tmp_path)}")
    assert outcome.code == 2
    assert "is a folder; dataset.path should name a file; dataset=auto reads folders as well" in outcome.err


def test_a_table_without_a_column_of_topics_is_a_topic(tmp_path: Path) -> None:
    for name in ("food", "space_travel"):
        (tmp_path / f"{name}.csv").write_text("id,speaker,text\n1,a,Hi\n1,b,Ho\n", encoding="utf-8")
    assert {one.topic for one in AutoDataset(path=str(tmp_path), language="en").dialogues()} == {"food", "space travel"}


def test_too_few_dialogues_are_shown_with_what_can_be_done(run: Run, tmp_path: Path) -> None:
    outcome = run("data", "dataset=auto", f"dataset.path={logs_in_a_file(tmp_path)}")
    assert outcome.code == 2
    assert re.search(r"all \(1 topic\) +3 +6", outcome.out)
    assert "hold out each dialogue in turn with metadialog evaluate run=DIR split=all_held_out" in outcome.err
    assert "adapt run=DIR dialogues=FILE, or" in outcome.err
    assert "evaluation.shots=[2] and the same options of dataset" in outcome.err
