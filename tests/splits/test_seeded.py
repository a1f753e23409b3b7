import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.datasets.corpus import build_corpus
from metadialog.errors import ConfigError, DataError
from metadialog.splits.seeded import SeededSplit


def seeded(seed: int = 0, validation: float = 0.2, test: float = 0.25, min_dialogues: int = 10) -> SeededSplit:
    return SeededSplit(seed=seed, validation=validation, test=test, min_dialogues=min_dialogues)


def test_english_chatterbot_is_split_like_this_everywhere() -> None:
    sizes = build_corpus(ChatterbotDataset(language="english").dialogues(), "chatterbot").sizes
    split = seeded().split(sizes)
    assert split.test == ("computers", "emotion", "gossip", "movies", "science")
    assert split.validation == ("coding", "conversations", "greetings", "money")
    assert len(split.train) == 10
    assert split.dropped == {"health": 1, "history": 8}
    assert split.unused == ()


@given(
    sizes=st.dictionaries(st.text(min_size=1, max_size=4), st.integers(1, 20), max_size=30),
    seed=st.integers(0, 2**40),
    validation=st.floats(0.01, 0.33),
    test=st.floats(0.01, 0.33),
)
def test_parts_are_disjoint_filled_and_complete(
    sizes: dict[str, int], seed: int, validation: float, test: float
) -> None:
    usable = sum(size >= 10 for size in sizes.values())
    if usable < 3:
        with pytest.raises(DataError, match=f"^topics with 10 dialogues or more: {usable} of {len(sizes)};"):
            seeded(seed, validation, test).split(sizes)
        return
    split = seeded(seed, validation, test).split(sizes)
    parts = [split.train, split.validation, split.test, tuple(split.dropped)]
    assert all(parts[:3])
    assert sorted(topic for part in parts for topic in part) == sorted(sizes)
    assert {topic for topic, size in sizes.items() if size < 10} == set(split.dropped)
    for part, fraction in ((split.validation, validation), (split.test, test)):
        assert abs(len(part) - fraction * usable) < 0.501 or len(part) == 1


@given(st.permutations(range(12)), st.integers(0, 1000))
def test_the_order_of_the_topics_does_not_matter(order: list[int], seed: int) -> None:
    assert seeded(seed).split({f"t{n}": 10 for n in order}) == seeded(seed).split({f"t{n}": 10 for n in range(12)})


def test_the_global_generator_is_neither_used_nor_moved() -> None:
    sizes = {f"t{n}": 10 for n in range(12)}
    random.seed(1)
    first, state = seeded().split(sizes), random.getstate()
    random.seed(2)
    assert seeded().split(sizes) == first
    random.seed(1)
    assert random.getstate() == state


def test_other_seeds_give_other_splits() -> None:
    sizes = {f"t{n}": 10 for n in range(12)}
    assert len({seeded(seed).split(sizes).test for seed in range(20)}) > 10


def test_every_topic_gets_its_turn_in_the_test_part() -> None:
    sizes = {f"t{n}": 10 for n in range(8)}
    assert {topic for seed in range(50) for topic in seeded(seed).split(sizes).test} == set(sizes)


def test_small_fractions_still_give_one_topic_each() -> None:
    split = seeded(validation=0.01, test=0.01).split({"a": 10, "b": 10, "c": 10})
    assert [len(part) for part in (split.train, split.validation, split.test)] == [1, 1, 1]


def test_too_few_topics_say_how_many_and_what_to_change() -> None:
    with pytest.raises(DataError, match=r"^topics with 10 dialogues or more: 2 of 3; .*split\.min_dialogues"):
        seeded().split({"a": 10, "b": 10, "c": 9})


def test_fractions_that_leave_nothing_are_refused_at_once() -> None:
    with pytest.raises(ConfigError, match=r"^split\.validation=0\.5 and split\.test=0\.5: .* below 1"):
        seeded(validation=0.5, test=0.5)


def test_fractions_that_leave_nothing_of_these_topics_are_refused() -> None:
    with pytest.raises(ConfigError, match="of 3 topics they take 1 and 2, and leave none for meta-train"):
        seeded(validation=0.45, test=0.5).split({"a": 10, "b": 10, "c": 10})
