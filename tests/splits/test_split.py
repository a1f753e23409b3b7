import pytest

from metadialog.splits.split import TopicSplit


def test_each_topic_has_its_part() -> None:
    split = TopicSplit(("a", "b"), ("c",), ("d",), {"e": 3}, ("f",))
    assert [split.part(topic) for topic in "abcdef"] == [
        "meta-train",
        "meta-train",
        "meta-validation",
        "meta-test",
        "dropped",
        "unused",
    ]


def test_an_unknown_topic_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="g"):
        TopicSplit(("a",), ("b",), ("c",)).part("g")


@pytest.mark.parametrize(
    ("train", "validation", "test", "dropped", "unused"),
    [
        (("a", "x"), ("b",), ("x",), {}, ()),
        (("a", "x"), ("x",), ("c",), {}, ()),
        (("x", "x"), ("b",), ("c",), {}, ()),
        (("x",), ("b",), ("c",), {"x": 1}, ()),
        (("a",), ("b",), ("x",), {}, ("x",)),
    ],
)
def test_no_topic_is_in_two_parts(
    train: tuple[str, ...],
    validation: tuple[str, ...],
    test: tuple[str, ...],
    dropped: dict[str, int],
    unused: tuple[str, ...],
) -> None:
    with pytest.raises(ValueError, match="topics occur twice in the split: x"):
        TopicSplit(train, validation, test, dropped, unused)
