from collections.abc import Callable
from pathlib import Path

import pytest

from metadialog.datasets.corpus import build_corpus
from metadialog.datasets.sgd import SgdDataset
from metadialog.errors import ConfigError, DataError
from metadialog.splits.paper import PARTS, PaperSplit, paper_splits, read_paper_split

Published = Callable[[str], Path]


@pytest.mark.parametrize("name", paper_splits())
def test_no_shipped_split_lists_a_topic_twice(name: str) -> None:
    lists = read_paper_split(name)
    listed = [topic for part in PARTS for topic in lists[part]]
    assert len(listed) == len(set(listed))
    assert all(lists[part] for part in PARTS)


def test_the_domains_of_dstc8() -> None:
    lists = read_paper_split("sgd-domain")
    assert sum(map(len, lists.values())) == 20
    assert lists["test"] == ["Alarm", "Messaging", "Payment", "Trains"]


@pytest.mark.parametrize(("topic", "parts"), [("domain", (14, 2, 1)), ("service", (24, 6, 4))])
def test_the_published_dialogues_are_split_as_they_were(
    published: Published, topic: str, parts: tuple[int, int, int]
) -> None:
    """The local copy lacks the folder test, so only those test topics exist that are also in dev."""
    dataset = SgdDataset(root=str(published("sgd")), topic=topic, multi_domain=False)  # type: ignore[arg-type]
    dialogues = list(dataset.dialogues())
    split = PaperSplit(min_dialogues=10).split(build_corpus(dialogues, "sgd").sizes, dataset.paper_split)
    assert (len(split.train), len(split.validation), len(split.test)) == parts
    assert not split.unused
    in_train = {dialogue.topic for dialogue in dialogues if dialogue.id.startswith("train/")}
    assert in_train == set(split.train)


def test_topics_that_are_not_here_or_not_placed() -> None:
    sizes = {"Banks": 10, "Weather": 10, "Trains": 12, "Payment": 9, "Gossip": 40}
    split = PaperSplit(min_dialogues=10).split(sizes, "sgd-domain")
    assert (split.train, split.validation, split.test) == (("Banks",), ("Weather",), ("Trains",))
    assert split.dropped == {"Payment": 9}
    assert split.unused == ("Gossip",)


def test_patterns_place_topics_and_the_held_out_parts_come_first() -> None:
    sizes = {"ALARM_SET 1": 9, "ALARM_SET 2": 9, "heldout TOURISM 7": 9, "SKI 3": 9, "APARTMENT_FINDER 4": 9}
    split = PaperSplit(min_dialogues=9).split(sizes, "metalwoz-task")
    assert split.validation == ("ALARM_SET 1", "ALARM_SET 2")
    assert split.test == ("heldout TOURISM 7",)
    assert split.train == ("APARTMENT_FINDER 4", "SKI 3")


def test_a_part_without_topics_is_named() -> None:
    expected = r"^split=paper \(sgd-domain\): no topic for test has 10 .*Messaging.*: lower split\.min_dialogues, "
    with pytest.raises(DataError, match=expected) as caught:
        PaperSplit(min_dialogues=10).split({"Banks": 10, "Weather": 10, "Alarm": 9}, "sgd-domain")
    assert "\n" not in str(caught.value)


def test_a_data_set_without_such_a_split_is_told_which_have_one() -> None:
    with pytest.raises(ConfigError, match="dataset=metalwoz, dataset=personachat, dataset=sgd: choose split=seeded"):
        PaperSplit(min_dialogues=10).split({"a": 20}, None)
