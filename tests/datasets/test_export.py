from collections.abc import Callable
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest

from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.datasets.corpus import build_corpus
from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.datasets.export import count_near_duplicates, write_dialogues
from metadialog.datasets.jsonl import JsonlDataset
from metadialog.datasets.similar import near_duplicates
from metadialog.preparation.separation import separate_twins
from metadialog.splits.seeded import SeededSplit
from metadialog.splits.split import TopicSplit
from metadialog.text import fold, words

Run = Callable[..., Any]


def talk(topic: str, identifier: str, *said: str) -> Dialogue:
    return Dialogue(topic, tuple(Turn("ab"[i % 2], text) for i, text in enumerate(said)), identifier)


LONG = "could you tell me where the nearest station of the underground is"
ANSWER = "it is at the corner of the second street on the left"


def test_dialogues_of_nearly_the_same_words_are_found() -> None:
    dialogues = [
        talk("x", "1", LONG, ANSWER),
        talk("y", "2", LONG, f"{ANSWER} please"),
        talk("y", "3", LONG, "no idea at all I am afraid and sorry to say"),
        talk("y", "4", "hello there", "hi"),
    ]
    found = list(near_duplicates(dialogues))
    assert [(near.one, near.other) for near in found] == [(0, 1)]
    assert found[0].similarity == pytest.approx(22 / 23)
    corpus = build_corpus(dialogues, "d")
    split = TopicSplit(train=("x",), validation=(), test=("y",))
    assert count_near_duplicates(corpus, split) == ({("meta-test", "meta-train"): 1}, [("1", "2")])


@pytest.mark.parametrize(("language", "threshold"), [("english", 0.15), ("chinese", 0.1)])
def test_all_near_duplicates_are_found(language: str, threshold: float) -> None:
    source = ChatterbotDataset(language=language)
    dialogues = list(source.dialogues())[::4]
    pairs = [{*pairwise(word for turn in d.turns for word in words(fold(turn.text)))} for d in dialogues]
    expected = {
        (one, other): len(pairs[one] & pairs[other]) / len(pairs[one] | pairs[other])
        for one, other in combinations(range(len(pairs)), 2)
        if pairs[one] & pairs[other]
    }
    expected = {pair: similarity for pair, similarity in expected.items() if similarity >= threshold}
    found = {(near.one, near.other): near.similarity for near in near_duplicates(dialogues, threshold)}
    assert found == expected
    assert len({similarity for similarity in found.values() if similarity < 1}) > 3


def test_near_duplicates_are_kept_on_one_side_by_option() -> None:
    source = ChatterbotDataset(language="english", near_duplicates=0.3)
    corpus = build_corpus(source.dialogues(), source.name, source.cleaning)
    split = SeededSplit(seed=0, validation=0.2, test=0.25, min_dialogues=10).split(corpus.sizes)
    separated, _ = separate_twins(corpus, split, 10)
    assert separated.dropped.twins == 2
    reason = "dialogues beginning, or begun by, one (or sharing 30% of their word pairs with one) in another part"
    assert (f"{reason} of the split", 2) in separated.dropped.reasons()
    dialogues = [(split.part(topic), dialogue) for topic, found in separated.topics.items() for dialogue in found]
    near = near_duplicates((dialogue for _, dialogue in dialogues), 0.3)
    assert all(dialogues[pair.one][0] == dialogues[pair.other][0] for pair in near)


@pytest.mark.parametrize("language", ["english", "chinese"])
def test_what_is_written_is_read_again(tmp_path: Path, language: str) -> None:
    source = ChatterbotDataset(language=language)
    corpus = build_corpus(source.dialogues(), source.name)
    split = SeededSplit(seed=0, validation=0.2, test=0.25, min_dialogues=10).split(corpus.sizes)
    files = write_dialogues(corpus, split, tmp_path)
    read = [d for name in files for d in JsonlDataset(path=str(tmp_path / name), language="en").dialogues()]
    assert len(read) == sum(files.values()) == sum(corpus.sizes.values())
    assert build_corpus(read, source.name).sizes == corpus.sizes
    held_out = JsonlDataset(path=str(tmp_path / "test.jsonl"), language="en").dialogues()
    assert {dialogue.topic for dialogue in held_out} == set(split.test)
    by_id = {dialogue.id: dialogue for dialogue in read}
    assert all(by_id[dialogue.id] == dialogue for found in corpus.topics.values() for dialogue in found)


def test_the_command_writes_a_page(run: Run, tmp_path: Path) -> None:
    outcome = run("data", f"output={tmp_path / 'out'}")
    assert outcome.code == 0, outcome.err
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    titles = (
        "Topics by size",
        "Lengths",
        "Near duplicates across the split",
        "most frequent replies",
        "Words that topics",
    )
    for title in (*titles, "tokens a turn", "BytePairTokenizer(vocab_size=400), trained on the meta-train topics"):
        assert title in page
    assert "duplicates of a dialogue of the same topic</td><td>1,127" in page
    assert run("data", f"output={tmp_path / 'out'}").code == 0  # an existing page is replaced
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    refused = run("data", f"output={tmp_path / 'other'}")
    assert refused.code == 2
    assert "holds other files; name a new or an empty folder" in refused.err


def test_names_in_a_page_are_no_markup(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "my.jsonl"
    path.write_text('{"topic": "<b>x</b>", "turns": ["<script>", "<i>no</i>"]}\n')
    options = ("dataset=jsonl", f"dataset.path={path}", "split=all_held_out", "split.min_dialogues=1")
    outcome = run("data", *options, f"output={tmp_path / 'out'}")
    assert outcome.code == 0, outcome.err
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "<b>" not in page
    assert "&lt;i&gt;no&lt;/i&gt;" in page
