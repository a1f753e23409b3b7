import pytest

from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.datasets.corpus import build_corpus
from metadialog.errors import ConfigError
from metadialog.splits.explicit import ExplicitSplit


def explicit(train: list[str], validation: list[str], test: list[str], min_dialogues: int = 10) -> ExplicitSplit:
    return ExplicitSplit(train=train, validation=validation, test=test, min_dialogues=min_dialogues)


@pytest.fixture(scope="module")
def sizes() -> dict[str, int]:
    return build_corpus(ChatterbotDataset(language="english").dialogues(), "chatterbot").sizes


def test_the_lists_are_the_parts_and_the_rest_is_unused(sizes: dict[str, int]) -> None:
    split = explicit(["trivia", "ai"], ["food"], ["money", "movies"]).split(sizes)
    assert (split.train, split.validation, split.test) == (("trivia", "ai"), ("food",), ("money", "movies"))
    assert set(split.unused) == set(sizes) - {"trivia", "ai", "food", "money", "movies"}
    assert split.dropped == {}


def test_unknown_topics_get_the_nearest_names_in_one_line(sizes: dict[str, int]) -> None:
    with pytest.raises(ConfigError) as caught:
        explicit(["ai"], ["foood", "cooking show", "xyzzy"], ["money"]).split(sizes)
    message = str(caught.value)
    assert message.startswith("split.validation: no such topic in the data: 'foood' (did you mean food?)")
    assert "'xyzzy'; topics: ai, botprofile, coding" in message
    assert "\n" not in message


def test_a_topic_that_is_too_small_is_named_with_its_count(sizes: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=r"^split\.test: .*'health' \(1\), 'history' \(8\); .* requires 10"):
        explicit(["ai"], ["food"], ["health", "money", "history"]).split(sizes)
    assert explicit(["ai"], ["food"], ["history"], min_dialogues=8).split(sizes).test == ("history",)


@pytest.mark.parametrize(
    ("train", "validation", "test", "message"),
    [
        (["a"], ["b"], ["a"], r"^split\.test: topic 'a' is already in split\.train; list it once"),
        (["a"], ["b", "a"], ["c"], r"^split\.validation: topic 'a' is already in split\.train"),
        (["a", "a"], ["b"], ["c"], r"^split\.train: topic 'a' is already in split\.train"),
        (["a"], [], ["c"], r"^split\.validation=\[\]: should name at least one topic"),
    ],
)
def test_lists_that_do_not_fit_are_refused_at_once(
    train: list[str], validation: list[str], test: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        explicit(train, validation, test)
