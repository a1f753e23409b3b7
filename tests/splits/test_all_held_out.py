import pytest

from metadialog.errors import DataError
from metadialog.splits.all_held_out import AllHeldOutSplit


def test_every_topic_is_held_out() -> None:
    split = AllHeldOutSplit(min_dialogues=5).split({"b": 5, "a": 9, "c": 4})
    assert (split.train, split.validation, split.test) == ((), (), ("a", "b"))
    assert split.dropped == {"c": 4}


@pytest.mark.parametrize("sizes", [{}, {"a": 4}])
def test_nothing_to_hold_out_is_an_error(sizes: dict[str, int]) -> None:
    with pytest.raises(DataError, match=f"no topic of {len(sizes)} has 5 dialogues or more"):
        AllHeldOutSplit(min_dialogues=5).split(sizes)
