from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from metadialog.datasets.anonymise import anonymise
from metadialog.datasets.cleaning import Cleaning
from metadialog.datasets.corpus import build_corpus
from metadialog.datasets.dialogue import Dialogue, LeftOut, Turn
from metadialog.errors import DataError
from metadialog.preparation.separation import separate_twins
from metadialog.samplers.exchanges import ExchangeEncoder, LossOn
from metadialog.splits.split import TopicSplit
from metadialog.tokenizers.character import CharacterTokenizer

SAID = (("a", "one"), ("b", "two"), ("b", "three"), ("a", "four"), ("c", "five"))
TALK = Dialogue("t", tuple(Turn(speaker, text) for speaker, text in SAID), "1")
BYTES = CharacterTokenizer(vocab_size=261).train([])


def cleaned(dialogue: Dialogue, **options: Any) -> Dialogue | None:
    return Cleaning(**options).clean(dialogue, Counter())


def replies(dialogue: Dialogue | None) -> list[str]:
    assert dialogue is not None
    return [turn.text for turn in dialogue.turns[1:] if turn.reply]


@pytest.mark.parametrize(
    ("responses", "expected"),
    [
        ("all", ["two", "three", "four", "five"]),
        ("second", ["two", "three"]),
        ("b", ["two", "three"]),
        ("a", ["four"]),
        ("c", ["five"]),
    ],
)
def test_whose_turns_are_replies(responses: str, expected: list[str]) -> None:
    assert replies(cleaned(TALK, responses=responses)) == expected


@pytest.mark.parametrize("responses", ["second", "a"])
@pytest.mark.parametrize("loss_on", ["response", "all"])
def test_other_turns_are_context_alone(responses: str, loss_on: LossOn) -> None:
    dialogue = cleaned(TALK, responses=responses)
    assert dialogue is not None
    encoder = ExchangeEncoder(BYTES, 3, 64, loss_on)
    assert [exchange.response for exchange in encoder.exchanges([dialogue])] == replies(dialogue)
    batch, whole = encoder.batch([dialogue]), encoder.batch([TALK])
    kept = [place for place, turn in enumerate(dialogue.turns[1:]) if turn.reply]
    assert batch.words.tolist() == [whole.words.tolist()[place] for place in kept]
    assert len(batch.inputs) == len(kept)


def test_a_speaker_that_never_answers_is_named() -> None:
    with pytest.raises(DataError, match=r"no dialogue is left of 1 read.*1 dialogue without a reply of the speaker"):
        build_corpus([TALK], "d", Cleaning(responses="nobody"))


def test_turns_in_a_row_are_merged_by_option() -> None:
    merged = cleaned(TALK, merge_turns=True)
    assert merged is not None
    assert [(turn.speaker, turn.text) for turn in merged.turns] == [
        ("a", "one"),
        ("b", "two\nthree"),
        ("a", "four"),
        ("c", "five"),
    ]
    assert cleaned(TALK) == TALK


def test_dialogues_of_one_speaker_are_named_and_left_out_by_default() -> None:
    alone = Dialogue("t", (Turn("a", "one"), Turn("a", "two")), "2")
    corpus = build_corpus([TALK, alone], "d")
    assert corpus.topics["t"].ids() == ("1",)
    assert corpus.dropped.one_speaker == 1
    assert corpus.dropped.reasons() == (("dialogue with only one speaker (2); dataset.one_speaker=keep keeps them", 1),)
    assert build_corpus([TALK, alone], "d", Cleaning(one_speaker="keep")).sizes == {"t": 2}


def test_two_unicode_forms_of_a_topic_are_one() -> None:
    forms = [talk(topic, f"{number}", "hi", f"{number}") for number, topic in enumerate(["café", "cafe\u0301"])]
    assert build_corpus(forms, "d").sizes == {"café": 2}


def test_what_the_options_leave_out_is_counted_by_reason() -> None:
    class Source:
        name, language, paper_split = "d", "en", None

        def read(self) -> list[Dialogue | LeftOut]:
            return [TALK, LeftOut("x"), LeftOut("x"), LeftOut("y")]

        def dialogues(self) -> list[Dialogue]:
            return [TALK]

    from metadialog.datasets.chunks import read_chunks
    from metadialog.datasets.corpus import Cleaner

    cleaner = Cleaner("d")
    assert sum(batch.num_rows for batch in cleaner.clean(read_chunks(Source()))) == 1  # type: ignore[arg-type]
    assert cleaner.result()[2].reasons() == (("x", 2), ("y", 1))


def texts(turns: Sequence[Turn]) -> list[str]:
    return [turn.text for turn in turns]


def test_names_addresses_and_numbers_are_replaced() -> None:
    turns = [
        Turn("Anna Meier", "Hi Bo, I am Anna, mail me: anna.meier@example.org or call +49 (30) 123 45 67."),
        Turn("Bo", "Thanks Anna Meier! On 2024-01-31 at 10:02 for 1,200 euros, room 17; Annabel knows."),
        Turn("user", "call 555-010-9988, user"),
    ]
    found = anonymise(turns)
    assert [turn.speaker for turn in found] == ["speaker 1", "speaker 2", "user"]
    assert texts(found) == [
        "Hi <speaker 2>, I am <speaker 1>, mail me: <mail> or call <phone>.",
        "Thanks <speaker 1>! On 2024-01-31 at 10:02 for 1,200 euros, room 17; Annabel knows.",
        "call <phone>, user",
    ]


def test_replies_are_of_the_speaker_that_the_option_names_before_names_are_replaced() -> None:
    dialogue = Dialogue("t", (Turn("Anna", "one"), Turn("Bo", "two"), Turn("Anna", "three")), "1")
    found = cleaned(dialogue, responses="Anna", anonymise=True)
    assert replies(found) == ["three"]


def talk(topic: str, identifier: str, *said: str) -> Dialogue:
    return Dialogue(topic, tuple(Turn("ab"[i % 2], text) for i, text in enumerate(said)), identifier)


WHOLE = ["hi", "hello", "who", "me", "bye"]


def test_a_dialogue_that_begins_another_is_its_twin() -> None:
    corpus = build_corpus(
        [
            talk("x", "1", *WHOLE),
            talk("y", "2", *WHOLE[:4]),
            talk("y", "3", "hi", "hello"),
            talk("z", "4", "hi", "ho"),
            talk("z", "5", "who", "me"),
        ],
        "d",
    )
    assert corpus.twins.tolist() == [[0, 0], [1, 0], [2, 0]]


def test_twins_are_kept_on_one_side_of_the_split() -> None:
    dialogues = [talk(topic, f"{topic}{i}", f"{topic} {i}", "yes", "no", "so") for topic in "abc" for i in range(4)]
    copies = [talk("a", "copy of c", "C 0", "yes", "no"), talk("b", "copy of a", "a 1", "yes")]
    corpus = build_corpus([*dialogues, *copies], "d")
    split = TopicSplit(train=("a",), validation=("b",), test=("c",))
    separated, same = separate_twins(corpus, split, 3)
    assert same == split
    assert {topic: list(found.ids()) for topic, found in separated.topics.items()} == {
        "a": ["a0", "a2", "a3"],
        "b": ["b0", "b1", "b2", "b3", "copy of a"],
        "c": ["c0", "c1", "c2", "c3"],
    }
    assert separated.dropped.twins == 2
    assert ("dialogues beginning, or begun by, one in another part of the split", 2) in separated.dropped.reasons()
    # If removing a dialogue would make a topic too small, the duplicate in the other topic is removed.
    spared, _ = separate_twins(corpus, split, 4)
    assert [len(spared.topics[topic]) for topic in "abc"] == [4, 4, 4]
    with pytest.raises(DataError, match=r"without them no topic of meta-(train|validation) has 5 dialogues"):
        separate_twins(build_corpus([*dialogues, *copies, talk("b", "more", "x", "y")], "d"), split, 5)


def test_twins_within_a_part_stay() -> None:
    corpus = build_corpus([talk("a", "1", *WHOLE), talk("b", "2", *WHOLE[:3]), talk("c", "3", "x", "y")], "d")
    split = TopicSplit(train=("a", "b"), validation=(), test=("c",))
    assert separate_twins(corpus, split, 1) == (corpus, split)
