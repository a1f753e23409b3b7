"""DailyDialog: real dialogues if there is a local copy, and small hand-made files in the same format."""

import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metadialog.datasets.dailydialog import NO_TOPIC, TOPICS, DailyDialogDataset
from metadialog.datasets.dialogue import Dataset, Dialogue, Turn
from metadialog.errors import ConfigError, DataError

Published = Callable[[str], Path]
Part = Literal["all", "train", "validation", "test"]
LINES = ["Hi ! __eou__ Hello . __eou__", "How much ? __eou__ Ten . __eou__ Thanks . __eou__"]


def read(root: Path, language: str = "en", part: Part = "all") -> list[Dialogue]:
    return list(DailyDialogDataset(root=str(root), language=language, part=part).dialogues())


def write(folder: Path, lines: list[str], topics: str, name: str = "dialogues_text.txt") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    (folder / "dialogues_topic.txt").write_text(topics)
    return folder


@pytest.mark.parametrize(
    ("language", "first"),
    [("en", "I am very nervous about signing my escrow papers ."), ("zh", "签署代管文件让我很紧张。")],
)
def test_the_published_dialogues(published: Published, language: str, first: str) -> None:
    dialogues = read(published("dailydialog"), language)
    assert len(dialogues) == 1000
    assert dialogues[0].turns[0] == Turn("A", first)
    assert [turn.speaker for turn in dialogues[0].turns[:3]] == ["A", "B", "A"]
    assert dialogues[0].id.endswith(".txt:1")
    assert len({dialogue.id for dialogue in dialogues}) == 1000
    assert set(Counter(dialogue.topic for dialogue in dialogues)) == {TOPICS[number] for number in range(1, 6)}
    assert not any("__eou__" in turn.text for dialogue in dialogues for turn in dialogue.turns)


def test_the_translation_is_parallel(published: Published) -> None:
    english, chinese = (read(published("dailydialog"), language) for language in ("en", "zh"))
    assert [d.topic for d in english] == [d.topic for d in chinese]
    same = sum(len(a.turns) == len(b.turns) for a, b in zip(english, chinese, strict=True))
    assert same == len(english)


def test_the_layout_of_dailydialog_itself(tmp_path: Path) -> None:
    write(tmp_path, LINES, "1 \n10 \n")
    dialogues = read(tmp_path)
    assert [(d.topic, d.id) for d in dialogues] == [
        ("Ordinary Life", "dialogues_text.txt:1"),
        ("Finance", "dialogues_text.txt:2"),
    ]
    assert [turn.text for turn in dialogues[1].turns] == ["How much ?", "Ten .", "Thanks ."]


def test_a_part_has_the_topics_of_the_same_texts(tmp_path: Path) -> None:
    """The published archive has a file for each part, but topics only for all dialogues together."""
    write(tmp_path / "ijcnlp_dailydialog", LINES, "1\n10\n")
    with zipfile.ZipFile(tmp_path / "ijcnlp_dailydialog" / "test.zip", "w") as archive:
        text = "How much? __eou__ Ten. __eou__ Thanks. __eou__\nNew . __eou__ Yes . __eou__\n"
        archive.writestr("test/dialogues_test.txt", text)
        archive.writestr("test/dialogues_act_test.txt", "1 1 1\n1 1\n")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in (tmp_path / "ijcnlp_dailydialog").iterdir():
            archive.write(path, f"ijcnlp_dailydialog/{path.name}")
    expected = [("Finance", "dialogues_test.txt:1"), (NO_TOPIC, "dialogues_test.txt:2")]
    assert [(d.topic, d.id) for d in read(tmp_path, part="test")] == expected
    assert [(d.topic, d.id) for d in read(tmp_path / "all.zip", part="test")] == expected
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "dialogues_test.txt").write_text(LINES[0])
    assert [(d.topic, d.id) for d in read(tmp_path, part="test")] == [("Ordinary Life", "dialogues_test.txt:1")]
    with pytest.raises(DataError, match=r"holds no train\.zip and no train/dialogues_train\.txt"):
        read(tmp_path, part="train")


def test_another_language_has_its_own_file(tmp_path: Path) -> None:
    write(tmp_path, LINES, "1\n10\n")
    with pytest.raises(DataError, match=r"holds no dialogues_text_De\.txt"):
        read(tmp_path, "de")
    with pytest.raises(ConfigError, match=r"^dataset\.language=German: should be a language code"):
        DailyDialogDataset(root=str(tmp_path), language="German", part="all")
    with pytest.raises(ConfigError, match=r"^dataset\.part=train: the parts are published in English, not for .*=zh; "):
        DailyDialogDataset(root=str(tmp_path), language="zh", part="train")


@pytest.mark.parametrize(
    ("lines", "topics", "file", "problem"),
    [
        (LINES, "1\n11\n", "dialogues_topic.txt:2", "'11' is no topic; it should be a number from 1 to 10"),
        (LINES, "1\nx\n", "dialogues_topic.txt:2", "'x' is no topic"),
        ([], "", "dialogues_text.txt:1", "holds no dialogue; it should hold one a line"),
        (LINES, "", "dialogues_topic.txt:1", "has 0 topics, but dialogues_text.txt has 2 dialogues"),
        (LINES, "1\n", "dialogues_topic.txt:1", "has 1 topic, but dialogues_text.txt has 2 dialogues"),
        ([LINES[0], ""], "1\n1\n", "dialogues_text.txt:2", "holds no turn"),
        ([LINES[0], " __eou__ __eou__"], "1\n1\n", "dialogues_text.txt:2", "holds no turn"),
    ],
)
def test_a_malformed_file_is_named_with_the_line(
    tmp_path: Path, lines: list[str], topics: str, file: str, problem: str
) -> None:
    write(tmp_path, lines, topics)
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / file}: {problem}")
    assert "\n" not in str(caught.value)


def test_what_is_not_utf_8_is_named_with_line_and_byte(tmp_path: Path) -> None:
    write(tmp_path, LINES, "1\n1\n")
    with (tmp_path / "dialogues_text.txt").open("ab") as file:
        file.write(b"a\xff __eou__ b __eou__\n")
    with pytest.raises(DataError, match=r"dialogues_text\.txt:3: byte 2 of the line is not UTF-8"):
        read(tmp_path)


@given(st.binary(max_size=40), st.sampled_from(["dialogues_text.txt", "dialogues_topic.txt", "train.zip"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_cost_one_line_at_most(
    tmp_path: Path, complaint: Callable[[Dataset], str], content: bytes, name: str
) -> None:
    write(tmp_path, LINES, "1\n1\n")
    (tmp_path / name).write_bytes(content)
    part: Part = "train" if name == "train.zip" else "all"
    message = complaint(DailyDialogDataset(root=str(tmp_path), language="en", part=part))
    assert not message or message.startswith(str(tmp_path))
    assert "\n" not in message
