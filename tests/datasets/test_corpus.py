import unicodedata
from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.datasets.corpus import Corpus, Dropped, build_corpus
from metadialog.datasets.dialogue import Dialogue, Turn, duplicate_key
from metadialog.errors import DataError


def dialogue(topic: str, *texts: str, id: str = "x") -> Dialogue:  # noqa: A002
    return Dialogue(topic, tuple(Turn(f"speaker {i}", text) for i, text in enumerate(texts)), id)


def flat(corpus: Corpus) -> list[Dialogue]:
    return [dialogue for dialogues in corpus.topics.values() for dialogue in dialogues]


def built(*dialogues: Dialogue) -> Corpus:
    return build_corpus(dialogues, "test")


def test_english_chatterbot() -> None:
    corpus = build_corpus(ChatterbotDataset(language="english").dialogues(), "chatterbot")
    assert len(corpus.topics) == 21
    assert list(corpus.topics) == sorted(corpus.topics)
    assert sum(corpus.sizes.values()) + corpus.dropped.dialogues == 2026
    # The corpus contains the same 10 tech support conversations 105 times.
    assert corpus.sizes["tech_support"] == 10
    assert corpus.dropped.short == 1
    assert corpus.dropped.duplicates_within > 1000
    assert [d.id for d in corpus.topics["ai"]] == sorted(
        (d.id for d in corpus.topics["ai"]), key=lambda id_: int(id_.split(":")[1])
    )


def test_duplicates_are_counted_within_and_across_topics_and_the_first_is_kept() -> None:
    corpus = built(
        dialogue("b", "Hi", "Ho", id="1"),
        dialogue("a", "hi ", "HO", id="2"),
        dialogue("b", "Hi", "Ho", id="3"),
        dialogue("a", "Ho", "Hi", id="4"),
        dialogue("a", "Ho", "Hi", "Ho", id="5"),
        dialogue("a", "ho", "hi", id="6"),
    )
    assert {topic: [d.id for d in dialogues] for topic, dialogues in corpus.topics.items()} == {
        "a": ["4", "5"],
        "b": ["1"],
    }
    assert corpus.dropped == Dropped(0, 0, duplicates_within=2, duplicates_across=1, topics=())
    assert corpus.sizes == {"a": 2, "b": 1}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hello  there\n", "hello there"),
        ("\u3000你好", "你好\t"),
        ("\uff46\uff55\uff4c\uff4c\u3000\uff57", "FULL W"),
        ("café", unicodedata.normalize("NFD", "CAFÉ")),
        ("straße", "STRASSE"),
        ("ﬁne ①", "Fine 1"),
        ("\u0390", unicodedata.normalize("NFC", "\u0390".upper())),
    ],
)
def test_equal_after_folding(one: str, other: str) -> None:
    corpus = built(dialogue("a", one, "yes"), dialogue("a", other, "yes"))
    assert corpus.dropped.duplicates_within == 1
    assert corpus.topics["a"][0].turns[0].text == one


@pytest.mark.parametrize(("one", "other"), [("no", "no."), ("a b", "ab"), ("你好", "您好"), ("e", "é")])
def test_different_after_folding(one: str, other: str) -> None:
    assert built(dialogue("a", one, "yes"), dialogue("a", other, "yes")).sizes == {"a": 2}


def test_turn_boundaries_matter() -> None:
    assert built(dialogue("a", "x y", "z"), dialogue("a", "x", "y z")).sizes == {"a": 2}


def test_speakers_do_not_make_a_difference() -> None:
    one = Dialogue("a", (Turn("guest", "Hi"), Turn("desk", "Ho")), "1")
    other = Dialogue("a", (Turn("user", "Hi"), Turn("bot", "Ho")), "2")
    assert flat(built(one, other)) == [one]


def test_blank_turns_and_short_dialogues_go_and_are_counted() -> None:
    corpus = built(
        dialogue("a", "Hi", " \t\u3000", "Ho"),
        dialogue("a", "alone"),
        dialogue("a", "alone", "", "\n"),
        dialogue("b"),
    )
    assert [[turn.text for turn in d.turns] for d in flat(corpus)] == [["Hi", "Ho"]]
    assert corpus.dropped == Dropped(blank_turns=3, short=3, duplicates_within=0, duplicates_across=0, topics=("b",))
    assert corpus.dropped.reasons() == (
        ("turns of only white space", 3),
        ("dialogues of fewer than two turns", 3),
        ("topic without a dialogue left", 1),
    )


@pytest.mark.parametrize("dialogues", [[], [dialogue("a", "alone")]])
def test_nothing_left_is_an_error(dialogues: list[Dialogue]) -> None:
    with pytest.raises(DataError, match=f"dataset empty: no dialogue is left of {len(dialogues)} read"):
        build_corpus(dialogues, "empty")


def test_dialogues_are_read_once_and_in_order() -> None:
    seen = []

    def stream() -> Iterable[Dialogue]:
        for number in range(3):
            seen.append(number)
            yield dialogue("a", str(number), "yes")

    assert [d.turns[0].text for d in flat(build_corpus(stream(), "test"))] == ["0", "1", "2"]
    assert seen == [0, 1, 2]


# Few letters, so that duplicates are frequent.
some_dialogues = st.lists(
    st.builds(dialogue, st.sampled_from("abc"), *[st.sampled_from(["x", "X", " x", "ß", "SS", " ", "y"])] * 2),
    max_size=12,
)


@given(some_dialogues)
def test_cleaning_twice_changes_nothing_and_loses_count_of_none(read: list[Dialogue]) -> None:
    valid = dialogue("z", "always", "valid")
    corpus = built(valid, *read)
    again = build_corpus(flat(corpus), "test")
    assert again.topics == corpus.topics
    assert again.dropped == Dropped(0, 0, 0, 0, ())
    assert sum(corpus.sizes.values()) + corpus.dropped.dialogues == 1 + len(read)
    keys = Counter(duplicate_key(d) for d in flat(corpus))
    assert set(keys.values()) == {1}
