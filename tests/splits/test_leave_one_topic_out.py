import re

import pytest

from metadialog.errors import ConfigError, DataError
from metadialog.splits.leave_one_topic_out import LeaveOneTopicOutSplit
from metadialog.splits.seeded import SeededSplit
from metadialog.splits.split import TopicSplit, what_can_be_done

SIZES = {"e": 9, "a": 5, "d": 5, "c": 5, "b": 5, "few": 2}


def split(held_out: int, validation: float = 0.2, min_dialogues: int = 5) -> TopicSplit:
    made = LeaveOneTopicOutSplit(held_out=held_out, validation=validation, min_dialogues=min_dialogues)
    return made.split(SIZES)


def test_each_topic_is_held_out_once() -> None:
    splits = [split(number) for number in range(5)]
    assert [found.test for found in splits] == [("a",), ("b",), ("c",), ("d",), ("e",)]
    assert [found.validation for found in splits] == [("b",), ("c",), ("d",), ("e",), ("a",)]
    for found in splits:
        assert sorted((*found.train, *found.validation, *found.test)) == ["a", "b", "c", "d", "e"]
        assert found.dropped == {"few": 2}


def test_what_it_cannot_do_is_refused_with_what_it_can() -> None:
    with pytest.raises(ConfigError, match=r"split\.held_out=5: there are 5 topics.*-m split\.held_out=range\(0,5\)"):
        split(5)
    with pytest.raises(ConfigError, match=r"split\.validation=0\.8: of 5 topics it takes 4, and leaves none"):
        split(0, validation=0.8)
    with pytest.raises(DataError, match=r"topics with 6 dialogues or more: 1 of 6; .*split\.min_dialogues=5 sampler"):
        split(0, min_dialogues=6)


@pytest.mark.parametrize(
    ("sizes", "advice"),
    [
        (
            {"a": 5, "b": 4, "c": 3},
            "split.min_dialogues=3 sampler.shots=1 sampler.queries=2 evaluation.queries=2 ",
        ),
        (
            {"a": 5, "b": 4},
            "metadialog evaluate run=DIR split=all_held_out split.min_dialogues=5 ",
        ),
        ({"a": 5}, "evaluation.shots=[4]"),
        ({"a": 1, "b": 1, "c": 1}, "lower split.min_dialogues, or add topics"),
    ],
)
def test_few_dialogues_are_told_what_can_be_done(sizes: dict[str, int], advice: str) -> None:
    assert advice in what_can_be_done(sizes)
    with pytest.raises(DataError, match=re.escape(what_can_be_done(sizes))):
        SeededSplit(seed=0, validation=0.2, test=0.25, min_dialogues=10).split(sizes)


def test_the_advice_works() -> None:
    sizes = {"a": 5, "b": 4, "c": 3}
    found = SeededSplit(seed=0, validation=0.2, test=0.25, min_dialogues=3).split(sizes)
    assert len(found.train) == len(found.validation) == len(found.test) == 1
