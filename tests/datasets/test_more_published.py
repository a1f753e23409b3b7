"""KdConv, CrossWOZ, EmpatheticDialogues, Wizard of Wikipedia, MultiWOZ 2.2, and Taskmaster-3 and -4."""

import json
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metadialog.datasets.base import SEVERAL_DOMAINS
from metadialog.datasets.chitchat import EMPTY, GREETINGS, ChitChatDataset
from metadialog.datasets.crosswoz import CrossWozDataset
from metadialog.datasets.dialogue import Dataset, Dialogue, LeftOut, Turn
from metadialog.datasets.empathetic import EmpatheticDialoguesDataset
from metadialog.datasets.kdconv import KdConvDataset
from metadialog.datasets.metalwoz import MetaLwozDataset
from metadialog.datasets.multiwoz import MultiWozDataset
from metadialog.datasets.specification import requested_dialogues
from metadialog.datasets.taskmaster import TaskmasterDataset
from metadialog.datasets.wizard import WizardOfWikipediaDataset
from metadialog.errors import DataError

Complaint = Callable[[Dataset], str]


def topics(dialogues: Iterator[Dialogue]) -> Counter[str]:
    return Counter(dialogue.topic for dialogue in dialogues)


def test_chitchat_is_read_as_its_publishers_count_it() -> None:
    items = list(ChitChatDataset(topic="prompt").read())
    dialogues = [item for item in items if isinstance(item, Dialogue)]
    assert len(items) == 7168
    assert Counter(item.reason for item in items if isinstance(item, LeftOut)) == {GREETINGS: 1271}
    assert EMPTY.startswith("conversations without")
    assert len({dialogue.topic for dialogue in dialogues}) == 35
    by_speaker = list(ChitChatDataset(topic="speaker").dialogues())
    assert [dialogue.id for dialogue in by_speaker] == [dialogue.id for dialogue in dialogues]
    assert {turn.speaker for dialogue in by_speaker for turn in dialogue.turns} == {"self", "partner"}


def test_kdconv(published: Callable[[str], Path]) -> None:
    dialogues = list(KdConvDataset(root=str(published("real/kdconv"))).dialogues())
    assert Counter(dialogue.topic for dialogue in dialogues) == {"music": 80, "travel": 80}
    assert dialogues[0].id == "music/dev:0"
    assert dialogues[0].turns[0].speaker == "A"


def test_crosswoz(published: Callable[[str], Path]) -> None:
    root = str(published("real/crosswoz"))
    items = list(CrossWozDataset(root=root, multi_domain=False).read())
    assert topics(item for item in items if isinstance(item, Dialogue)) == {"酒店": 3, "餐馆": 3, "景点": 1}
    assert len([item for item in items if isinstance(item, LeftOut)]) == 53
    assert len(list(CrossWozDataset(root=root, multi_domain=True).dialogues())) == 60


def test_multiwoz_2_2(published: Callable[[str], Path]) -> None:
    dialogues = list(MultiWozDataset(root=str(published("real/multiwoz22")), multi_domain=True).dialogues())
    assert len(dialogues) == 21
    assert {turn.speaker for dialogue in dialogues for turn in dialogue.turns} == {"user", "system"}
    assert all(not dialogue.id.endswith(".json") for dialogue in dialogues)


def test_multiwoz_leaves_out_dialogues_of_several_domains_and_says_so(published: Callable[[str], Path]) -> None:
    items = list(MultiWozDataset(root=str(published("real/multiwoz21")), multi_domain=False).read())
    assert len(items) == 150
    assert Counter(item.reason for item in items if isinstance(item, LeftOut)) == {SEVERAL_DOMAINS: 121}


@pytest.mark.parametrize("zipped", [False, True])
def test_multiwoz_in_parts(tmp_path: Path, *, zipped: bool) -> None:
    for number, part in enumerate(("train", "val", "test")):
        record = {"goal": {"taxi": {"info": {}}}, "log": [{"text": "Hi"}, {"text": "Ho"}]}
        content = json.dumps({f"SNG{number}.json": record})
        if zipped:
            with zipfile.ZipFile(tmp_path / f"{part}.json.zip", "w") as archive:
                archive.writestr(f"{part}.json", content)
        else:
            (tmp_path / f"{part}.json").write_text(content)
    dialogues = list(MultiWozDataset(root=str(tmp_path), multi_domain=False).dialogues())
    assert [(d.id, d.topic) for d in dialogues] == [("SNG0", "taxi"), ("SNG1", "taxi"), ("SNG2", "taxi")]


@pytest.mark.parametrize("choice", ["metalwoz", "multiwoz"])
def test_a_specification_may_name_what_the_inner_archives_hold(choice: str, published: Callable[[str], Path]) -> None:
    root = str(published("real/metalwoz"))
    made: dict[str, Dataset] = {
        "metalwoz": MetaLwozDataset(root=root, topic="domain"),
        "multiwoz": MultiWozDataset(root=root, multi_domain=False),
    }
    assert {"SNG0129", "SNG01445"} <= {dialogue.id for dialogue in requested_dialogues(made[choice])}


def test_taskmaster_4(published: Callable[[str], Path]) -> None:
    root = str(published("real/taskmaster4"))
    assert topics(TaskmasterDataset(root=root, release="tm4").dialogues()) == {"Coffee": 60}
    assert len(topics(TaskmasterDataset(root=root, release="tm4", topic="scenario").dialogues())) > 1


def test_taskmaster_1_has_the_verticals_that_are_published(tmp_path: Path) -> None:
    turns = [{"speaker": "USER", "text": "Hi"}, {"speaker": "ASSISTANT", "text": "Ho"}]
    names = ("movie-tickets-1", "movie-ticket-1", "movie-finder", "auto-repair-1", "auto-repair-appt-1", "uber-lyft-2")
    records = [{"conversation_id": str(i), "instruction_id": name, "utterances": turns} for i, name in enumerate(names)]
    (tmp_path / "self-dialogs.json").write_text(json.dumps(records))
    found = topics(TaskmasterDataset(root=str(tmp_path), release="tm1").dialogues())
    assert found == {"movie-tickets": 3, "auto-repair": 2, "uber-lyft": 1}


HEADER = "conv_id,utterance_idx,context,prompt,speaker_idx,utterance,selfeval,tags\n"
ROWS = (
    'hit:0_conv:1,1,proud,I won,1,I "won_comma_ at last,5|5|5_5|5|5,\n'
    "hit:0_conv:1,2,proud,I won,0,Well done,5|5|5_5|5|5,\n"
    "hit:0_conv:2,1,sad,It rains,7,It rains,5|5|5_5|5|5,,a|b|c\n"
    "hit:0_conv:2,2,sad,It rains,8,Oh,5|5|5_5|5|5,\n"
)


def test_empathetic_dialogues(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text(HEADER + ROWS)
    assert list(EmpatheticDialoguesDataset(root=str(tmp_path)).dialogues()) == [
        Dialogue("proud", (Turn("speaker", 'I "won, at last'), Turn("listener", "Well done")), "test/hit:0_conv:1"),
        Dialogue("sad", (Turn("speaker", "It rains"), Turn("listener", "Oh")), "test/hit:0_conv:2"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("", 1, "is ''; it should begin with conv_id"),
        (HEADER, 1, "holds no dialogue"),
        (HEADER + "a,1,sad\n", 2, "has 3 values; it should have 6 or more"),
        (HEADER + ROWS + ROWS.partition("\n")[0], 6, "conversation 'hit:0_conv:1' began at "),
        (HEADER + ",1,sad,x,1,hi\n", 2, "conv_id or context is empty"),
    ],
)
def test_a_malformed_csv_is_named_with_the_line(
    tmp_path: Path, complaint: Complaint, text: str, line: int, problem: str
) -> None:
    (tmp_path / "train.csv").write_text(text)
    message = complaint(EmpatheticDialoguesDataset(root=str(tmp_path)))
    assert message.startswith(f"{tmp_path / 'train.csv'}:{line}: {problem}")
    assert "\n" not in message


def test_wizard_of_wikipedia(tmp_path: Path) -> None:
    dialog = [{"speaker": "1_Apprentice", "text": "Hi"}, {"speaker": "0_Wizard", "text": "Ho", "retrieved": []}]
    record = {"chosen_topic": "Husky", "persona": "x", "wizard_eval": 5, "dialog": dialog}
    (tmp_path / "data.json").write_text(json.dumps([record] * 2))
    assert topics(WizardOfWikipediaDataset(root=str(tmp_path)).dialogues()) == {"Husky": 2}
    (tmp_path / "valid_topic_split.json").write_text(json.dumps([record]))
    (dialogue,) = WizardOfWikipediaDataset(root=str(tmp_path)).dialogues()
    assert dialogue == Dialogue("Husky", (Turn("apprentice", "Hi"), Turn("wizard", "Ho")), "valid_topic_split:0")


def broken(name: str, root: Path) -> Dataset:
    made: dict[str, Callable[[], Dataset]] = {
        "kdconv": lambda: KdConvDataset(root=str(root)),
        "crosswoz": lambda: CrossWozDataset(root=str(root), multi_domain=False),
        "wizard": lambda: WizardOfWikipediaDataset(root=str(root)),
        "multiwoz": lambda: MultiWozDataset(root=str(root), multi_domain=False),
        "tm4": lambda: TaskmasterDataset(root=str(root), release="tm4"),
    }
    return made[name]()


@pytest.mark.parametrize(
    ("name", "file", "content", "problem"),
    [
        ("kdconv", "film/dev.json", [{"messages": [{"text": "x"}]}], ": [0].messages[0].message is missing"),
        ("crosswoz", "val.json", {"1": {"goal": [], "messages": []}}, ": 1.goal names no domain"),
        (
            "crosswoz",
            "val.json",
            {"1": {"goal": [[1, "x"]], "messages": [{"content": "x", "role": "bot"}]}},
            ": 1.messages[0].role is 'bot'; it should be usr or sys",
        ),
        ("wizard", "train.json", [{"chosen_topic": " ", "dialog": []}], ": [0].chosen_topic is empty"),
        (
            "wizard",
            "train.json",
            [{"chosen_topic": "x", "dialog": [{"speaker": "me", "text": "x"}]}],
            ": [0].dialog[0].speaker is 'me'; it should be such as 0_Wizard",
        ),
        (
            "multiwoz",
            "dev/dialogues_001.json",
            [{"dialogue_id": "1", "services": [], "turns": [{"speaker": "me", "utterance": "x"}]}],
            ": [0].turns[0].speaker is 'me'; it should be USER or SYSTEM",
        ),
        ("tm4", "data_00.json", [{"conversation_id": "1", "utterances": []}], ": [0].vertical is missing"),
    ],
)
def test_a_malformed_file_is_named_with_the_place(
    tmp_path: Path, complaint: Complaint, name: str, file: str, content: object, problem: str
) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    message = complaint(broken(name, tmp_path))
    assert message.startswith(f"{path}{problem}")
    assert "\n" not in message


@pytest.mark.parametrize("name", ["kdconv", "crosswoz", "wizard", "multiwoz", "tm4"])
def test_a_missing_copy_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"holds no .*; dataset\.root should name a copy of "):
        list(broken(name, tmp_path).dialogues())
