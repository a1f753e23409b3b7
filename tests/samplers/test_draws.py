from collections import Counter
from itertools import permutations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.samplers.draws import draw_distinct, draw_weighted, unlike


@given(seed=st.integers(), population=st.integers(1, 40), data=st.data())
def test_drawn_numbers_are_different_and_nested(seed: int, population: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, population))
    drawn = draw_distinct(Random(seed), population, count)
    assert len(set(drawn)) == len(drawn) == count
    assert set(drawn) <= set(range(population))
    assert draw_distinct(Random(seed), population, population)[:count] == drawn


def test_all_orders_are_equally_likely() -> None:
    generator = Random(0)
    counts = Counter(tuple(draw_distinct(generator, 4, 2)) for _ in range(6000))
    assert set(counts) == set(permutations(range(4), 2))
    # 500 expected each; five standard deviations are 107.
    assert all(abs(count - 500) < 107 for count in counts.values())


def test_more_than_there_are_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="cannot draw 3 different numbers out of 2"):
        draw_distinct(Random(0), 2, 3)


def test_weights_are_kept_and_zero_is_never_drawn() -> None:
    generator = Random(0)
    counts = Counter(draw_weighted(generator, [1.0, 0.0, 3.0]) for _ in range(4000))
    assert set(counts) == {0, 2}
    assert abs(counts[2] - 3000) < 140


def talk(name: str, *texts: str) -> Dialogue:
    return Dialogue("t", tuple(Turn("AB"[i % 2], text) for i, text in enumerate(texts)), name)


def test_dialogues_that_share_an_exchange_come_last() -> None:
    query = [talk("q", "Hi", "Hello", "Bye")]
    same, only_turn, other = talk("s", "x", "hi", "HELLO "), talk("o", "Hi", "Well", "Bye"), talk("a", "a", "b")
    topic = [*query, same, only_turn, other]
    assert unlike(query, topic, [1, 2, 3], 2) == [2, 3]
    assert unlike(query, topic, [1, 2, 3], 3) == [2, 3, 1]
    assert unlike(query, topic, [3, 1, 2], 3) == [3, 2, 1]
    assert unlike(query, topic, [1, 2, 3], 0) == []
