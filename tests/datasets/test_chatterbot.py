from pathlib import Path

import pytest

from metadialog.datasets.chatterbot import ChatterbotDataset, languages, read_topic
from metadialog.errors import ConfigError, DataError


def test_english_has_its_topics_and_conversations() -> None:
    dialogues = list(ChatterbotDataset(language="english").dialogues())
    assert len(dialogues) == 2026
    assert len({dialogue.topic for dialogue in dialogues}) == 21
    first = dialogues[0]
    assert (first.topic, first.id) == ("ai", "english/ai.yml:5")
    assert [(turn.speaker, turn.text[:10]) for turn in first.turns] == [
        ("user", "What is AI"),
        ("bot", "Artificial"),
    ]


@pytest.mark.parametrize("language", languages())
def test_every_language_loads(language: str) -> None:
    dialogues = list(ChatterbotDataset(language=language).dialogues())
    assert len(dialogues) >= 6
    assert len({dialogue.id for dialogue in dialogues}) == len(dialogues)
    assert sum(len(dialogue.turns) >= 2 for dialogue in dialogues) >= 0.95 * len(dialogues)
    for dialogue in dialogues:
        assert all(turn.text.strip() for turn in dialogue.turns)
        assert {turn.speaker for turn in dialogue.turns[::2]} == {"user"}
        assert {turn.speaker for turn in dialogue.turns[1::2]} <= {"bot"}


def test_the_line_in_the_id_is_that_of_the_first_turn() -> None:
    from chatterbot_corpus.corpus import DATA_DIRECTORY

    for dialogue in ChatterbotDataset(language="german").dialogues():
        file, line = dialogue.id.split(":")
        text = Path(DATA_DIRECTORY, file).read_text(encoding="utf-8").splitlines()[int(line) - 1]
        assert text.startswith("- - ")
        assert dialogue.turns[0].text.split()[0] in text


def test_numbers_stay_as_written() -> None:
    replies = {
        dialogue.turns[0].text: dialogue.turns[1].text
        for dialogue in ChatterbotDataset(language="english").dialogues()
        if dialogue.topic == "trivia" and len(dialogue.turns) == 2
    }
    assert replies["In what year were the first Air Jordan sneakers released?"] == "1984"


def test_scalars_keep_the_text_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "odd.yml"
    path.write_text("categories: [odd]\nconversations:\n- - Yes\n  - 0x10\n  - 1_000.50\n  - ~\n  - 2001-12-14\n")
    (dialogue,) = read_topic(path)
    assert [turn.text for turn in dialogue.turns] == ["Yes", "0x10", "1_000.50", "~", "2001-12-14"]


def test_an_entry_without_its_dash_is_one_turn(tmp_path: Path) -> None:
    path = tmp_path / "odd.yml"
    path.write_text("conversations:\n- Two little ducks?\n  - '22'\n- - Hi\n  - Hello\n")
    assert [len(dialogue.turns) for dialogue in read_topic(path)] == [1, 2]


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        (b"conversations:\n- - Hi\n  - [a, b]\n", 3, "a turn is not a text"),
        (b"conversations:\n- - Hi\n  - Note: this\n", 3, "a turn is not a text"),
        (b"conversations:\n- - 'Hi\n", 3, "not valid YAML"),
        (b"conversations:\n- - Hi\n \t- Ho\n- x: }", 3, "not valid YAML"),
        (b"conversations: none\n", 1, "no list of conversations"),
        (b"- - Hi\n  - Ho\n", 1, "no list of conversations"),
        (b"", 1, "no list of conversations"),
        (b"conversations:\n- - \xff\n", 1, "not valid YAML"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(tmp_path: Path, content: bytes, line: int, problem: str) -> None:
    path = tmp_path / "odd.yml"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        list(read_topic(path))
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}: ")
    assert problem in message
    assert "\n" not in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.yml: cannot be read: No such file"):
        list(read_topic(tmp_path / "none.yml"))


@pytest.mark.parametrize(("wrong", "nearest"), [("englsh", "english"), ("English", "english"), ("chinesse", "chinese")])
def test_a_wrong_language_gets_the_nearest_and_all(wrong: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=rf"^dataset\.language={wrong}: .*did you mean {nearest}") as caught:
        ChatterbotDataset(language=wrong)
    assert ", ".join(languages()) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", ["", "../data/english", "klingon"])
def test_a_language_with_nothing_near_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match="no such language"):
        ChatterbotDataset(language=wrong)
