"""Hand-made fixtures in the format of ConvAI2."""

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metadialog.datasets.dialogue import Dataset, Dialogue, LeftOut, Turn
from metadialog.datasets.persona_groups import shared_groups
from metadialog.datasets.personachat import UNKNOWN, PersonaChatDataset
from metadialog.errors import DataError
from metadialog.splits.paper import PaperSplit

Personas = Literal["shared", "exact", "paml"]


def block(*sentences: str, replies: int = 2, start: str = "hi") -> str:
    lines = [f"your persona: {sentence}." for sentence in sentences]
    lines += [f"{start} {number}\treply {number}\t\tone|two|reply {number}" for number in range(replies)]
    return "".join(f"{number} {line}\n" for number, line in enumerate(lines, start=1))


def read(root: Path, personas: Personas = "shared") -> list[Dialogue]:
    return list(PersonaChatDataset(root=str(root), personas=personas).dialogues())


def write(folder: Path, text: str, part: str = "train") -> Path:
    path = folder / f"{part}_self_original.txt"
    path.write_text(text)
    return path


HUNTER = ("i like to hunt", "i like to remodel homes", "i like to shoot a bow", "my holiday is halloween")


def test_the_layout(tmp_path: Path) -> None:
    write(tmp_path, block(*HUNTER) + block("i am a mother", start="__SILENCE__"))
    first, second = read(tmp_path)
    assert (first.topic, first.id) == ("train 0001 i like to hunt", "train_self_original.txt:1")
    assert first.turns == (
        Turn("partner", "hi 0"),
        Turn("persona", "reply 0"),
        Turn("partner", "hi 1"),
        Turn("persona", "reply 1"),
    )
    assert second.id == "train_self_original.txt:7"
    assert second.turns[0] == Turn("partner", "__SILENCE__ 0")


def test_silence_is_no_turn(tmp_path: Path) -> None:
    write(tmp_path, "1 your persona: i ski.\n2 __SILENCE__\thello\t\ta|b\n3 __ SILENCE __\tagain\n")
    (dialogue,) = read(tmp_path)
    assert dialogue.turns == (Turn("persona", "hello"), Turn("persona", "again"))


def test_one_persona_is_shown_in_several_ways(tmp_path: Path) -> None:
    shown = [HUNTER[:3], HUNTER[1:], HUNTER[:2], ("i ski", "i am a mother"), ("i am a mother", "i sing")]
    write(tmp_path, "".join(block(*sentences) for sentences in shown) + block(*reversed(HUNTER[:3])))
    assert [d.topic[:10] for d in read(tmp_path)] == ["train 0001"] * 3 + ["train 0002", "train 0003", "train 0001"]
    assert len({d.topic for d in read(tmp_path, "exact")}) == 5


def test_the_files_are_the_parts_of_the_paper(tmp_path: Path) -> None:
    for part in ("test", "train", "valid"):
        write(tmp_path, block("i ski", "i sing") * 2, part)
    dataset = PersonaChatDataset(root=str(tmp_path), personas="shared")
    topics = [d.topic for d in dataset.dialogues()]
    assert [topic.split()[0] for topic in topics] == ["train", "train", "valid", "valid", "test", "test"]
    split = PaperSplit(min_dialogues=2).split(dict.fromkeys(topics, 2), dataset.paper_split)
    assert (split.train, split.validation, split.test) == (
        ("train 0001 i ski",),
        ("valid 0001 i ski",),
        ("test 0001 i ski",),
    )


def test_the_map_of_paml(tmp_path: Path) -> None:
    write(tmp_path, block("i ski", "i'm a singer") + block("i cook") + block("unheard of"))
    known = {4: [["i am a singer", "i ski"], ["i cook"]], 9: [["i fly"]]}
    (tmp_path / "train_persona_map").write_bytes(pickle.dumps(known))
    assert [d.topic for d in read(tmp_path, "paml")] == ["train 0004 i ski", "train 0004 i ski"]
    dataset = PersonaChatDataset(root=str(tmp_path), personas="paml")
    assert [item.reason for item in dataset.read() if isinstance(item, LeftOut)] == [UNKNOWN]


def test_a_map_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    write(tmp_path, block("i ski") + block("i cook") + block("unheard of"))
    (tmp_path / "train_persona_map").write_bytes(pickle.dumps({4: [["i ski"]]}))
    with pytest.raises(DataError, match="has no number for the persona of 2 of 3 dialogues; it should be the map of"):
        read(tmp_path, "paml")


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_a_map_may_hold_numbers_of_numpy(tmp_path: Path, module: str) -> None:
    write(tmp_path, block("i ski") + block("i cook"))
    content = pickle.dumps({np.int32(20): [["i ski"]], np.int32(300): [["i cook"]]}, protocol=3)
    (tmp_path / "train_persona_map").write_bytes(re.sub(rb"numpy\._?core\.multiarray", module.encode(), content))
    assert [d.topic for d in read(tmp_path, "paml")] == ["train 0020 i ski", "train 0300 i cook"]


@pytest.mark.parametrize(
    ("name", "called"), [("numpy", "load"), ("os", "system"), ("numpy.core.multiarray", "fromfile")]
)
def test_a_map_that_names_anything_else_is_refused(tmp_path: Path, name: str, called: str) -> None:
    write(tmp_path, block("i ski"))
    (tmp_path / "train_persona_map").write_bytes(f"c{name}\n{called}\n(S'x'\ntR.".encode())
    with pytest.raises(DataError, match=f"is no map of personas: it names {name}.{called}"):
        read(tmp_path, "paml")


@pytest.mark.parametrize("array", [np.dtype("O"), np.dtype("f8"), np.dtype([("x", "i4")])])
def test_a_map_of_other_kinds_of_numbers_is_refused(tmp_path: Path, array: np.dtype[Any]) -> None:
    write(tmp_path, block("i ski"))
    (tmp_path / "train_persona_map").write_bytes(pickle.dumps({1: [[array]]}))
    with pytest.raises(DataError, match="is no map of personas"):
        read(tmp_path, "paml")


def test_the_published_maps_fit_the_published_texts(published: Callable[[str], Path]) -> None:
    root = published("real/convai2")
    for personas in ("shared", "paml"):
        dataset = PersonaChatDataset(root=str(root), personas=personas)
        items = list(dataset.read())
        dialogues = [item for item in items if isinstance(item, Dialogue)]
        assert len(dialogues) == len(items) == 1000
        assert len({dialogue.topic for dialogue in dialogues}) == 100
        replies = (turn for dialogue in dialogues for turn in dialogue.turns if turn.speaker == "persona")
        assert sum(1 for _ in replies) == 7801


@pytest.mark.parametrize("name", ["train_self_original_no_cands.txt", "train_both_original.txt"])
def test_files_by_their_usual_names(tmp_path: Path, name: str) -> None:
    persona = "1 your persona: i ski.\n2 partner's persona: i sing.\n"
    (tmp_path / name).write_text(persona + "3 hi\thello\n")
    (dialogue,) = read(tmp_path)
    assert dialogue.topic == "train 0001 i ski"
    assert dialogue.turns == (Turn("partner", "hi"), Turn("persona", "hello"))


def test_the_split_of_the_paper_where_there_is_no_test_file(tmp_path: Path) -> None:
    for part in ("train", "valid"):
        write(tmp_path, "".join(block(f"i like {part} number {i}") for i in range(20)), part)
    dataset = PersonaChatDataset(root=str(tmp_path), personas="shared")
    assert dataset.paper_split == "personachat-convai2"
    sizes = dict.fromkeys((d.topic for d in dataset.dialogues()), 1)
    split = PaperSplit(min_dialogues=1).split(sizes, dataset.paper_split)
    assert [len(split.train), len(split.validation), len(split.test)] == [18, 2, 20]
    assert {topic.split()[0] for topic in split.test} == {"valid"}


@pytest.mark.parametrize(
    "content", [b"", b"nothing", pickle.dumps([1]), pickle.dumps({1: 2}), pickle.dumps({"x": [["i ski"]]})]
)
def test_what_is_no_map_is_named(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, block("i ski"))
    (tmp_path / "train_persona_map").write_bytes(content)
    with pytest.raises(DataError, match="train_persona_map: is no map of personas: ") as caught:
        read(tmp_path, "paml")
    assert "\n" not in str(caught.value)


def test_a_hostile_map_calls_nothing(tmp_path: Path) -> None:
    write(tmp_path, block("i ski"))
    witness = tmp_path / "witness"

    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str, str]]:
            return (open, (str(witness), "w"))

    (tmp_path / "train_persona_map").write_bytes(pickle.dumps({1: Hostile()}))
    with pytest.raises(DataError, match="is no map of personas: it names "):
        read(tmp_path, "paml")
    assert not witness.exists()


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("", 1, "holds no dialogue; it should be 'NUMBER your persona: SENTENCE'"),
        ("hello\n", 1, "'hello' has no number"),
        ("2 your persona: i ski.\n", 1, "has the number 2; it should be 1"),
        (block("i ski") + "5 a\tb\n", 4, "has the number 5; it should be 4"),
        ("1 a\tb\t\tc\n", 1, "the dialogue has no line 'your persona: ...'"),
        ("1 your persona: i ski.\n2 hello\n", 2, "has no reply after a tab"),
        ("1 your persona: .\n", 1, "the persona's sentence is empty"),
    ],
)
def test_a_malformed_file_is_named_with_the_line(tmp_path: Path, text: str, line: int, problem: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert str(caught.value).startswith(f"{path}:{line}: {problem}")
    assert "\n" not in str(caught.value)


def test_a_missing_copy_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no train_self_original\.txt or valid_self_original\.txt or test"):
        read(tmp_path)


@given(st.lists(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=4).map(tuple), max_size=8))
def test_personas_that_share_two_sentences_are_one(personas: list[tuple[str, ...]]) -> None:
    groups = shared_groups(personas)
    for one, its in zip(personas, groups, strict=True):
        for other, others in zip(personas, groups, strict=True):
            if len(set(one) & set(other)) >= 2 or set(one) == set(other):
                assert its == others
    assert list(dict.fromkeys(groups)) == list(range(1, len(set(groups)) + 1))


@given(st.binary(max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_cost_one_line_at_most(tmp_path: Path, complaint: Callable[[Dataset], str], content: bytes) -> None:
    write(tmp_path, block("i ski"))
    (tmp_path / "train_persona_map").write_bytes(content)
    (tmp_path / "valid_self_original.txt").write_bytes(content)
    for personas in ("shared", "paml"):
        message = complaint(PersonaChatDataset(root=str(tmp_path), personas=personas))
        assert not message or message.startswith(str(tmp_path))
        assert "\n" not in message


def test_the_sentences_of_a_persona_are_those_of_all_its_dialogues(tmp_path: Path) -> None:
    write(tmp_path, block(*HUNTER[:3]) + block("i am a mother") + block(*HUNTER[1:]))
    dataset = PersonaChatDataset(root=str(tmp_path), personas="shared")
    sentences = dataset.sentences()
    assert set(sentences) == {dialogue.topic for dialogue in dataset.dialogues()}
    assert sentences["train 0001 i like to hunt"] == list(HUNTER)
