import dataclasses
import io
import json

import pytest
from rich.cells import cell_len
from rich.console import Console

from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.datasets.corpus import Corpus, build_corpus
from metadialog.datasets.describe import Description, Quantiles, describe, render
from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.splits.seeded import SeededSplit
from metadialog.splits.split import TopicSplit


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return build_corpus(ChatterbotDataset(language="english").dialogues(), "chatterbot")


@pytest.fixture(scope="module")
def split(corpus: Corpus) -> TopicSplit:
    return SeededSplit(seed=0, validation=0.2, test=0.25, min_dialogues=10).split(corpus.sizes)


@pytest.fixture(scope="module")
def description(corpus: Corpus, split: TopicSplit) -> Description:
    return describe(corpus, split)


def printed(description: Description, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    with console.capture() as capture:
        console.print(render(description))
    return capture.get()


def small(topic: str = "a", *texts: str) -> Description:
    turns = tuple(Turn(f"speaker {i}", text) for i, text in enumerate(texts or ("one two three", "four")))
    corpus = build_corpus([Dialogue(topic, turns, "1")], "small")
    return describe(corpus, TopicSplit((topic,), (), ()))


def test_every_topic_is_described_in_its_part(corpus: Corpus, split: TopicSplit, description: Description) -> None:
    assert sorted(topic.topic for topic in description.topics) == list(corpus.topics)
    assert [part.part for part in description.parts] == [
        "meta-train",
        "meta-validation",
        "meta-test",
        "dropped",
    ]
    assert tuple(topic.topic for topic in description.parts[2].topics) == split.test
    assert {topic.topic: topic.statistics.dialogues for topic in description.parts[3].topics} == split.dropped


def test_numbers_add_up(corpus: Corpus, description: Description) -> None:
    for field in ("dialogues", "turns", "words"):
        total = getattr(description.total, field)
        assert total == sum(getattr(topic.statistics, field) for topic in description.topics)
        assert total == sum(getattr(part.statistics, field) for part in description.parts)
    assert description.total.dialogues == sum(corpus.sizes.values())
    assert description.dropped == corpus.dropped


def test_words_and_quantiles_of_a_topic_counted_by_hand() -> None:
    turns = [" ".join(["word"] * (number + 1)) for number in range(100)]
    statistics = small("a", *turns).topics[0].statistics
    assert (statistics.dialogues, statistics.turns, statistics.words) == (1, 100, 5050)
    assert statistics.words_per_turn == Quantiles(5, 50, 95)
    assert statistics.turns_per_dialogue == Quantiles(100, 100, 100)


def test_chinese_words_are_characters() -> None:
    assert small("a", "你好吗", "我很好 OK").total.words == 7


def test_a_description_is_plain_data(description: Description) -> None:
    record = json.loads(json.dumps(dataclasses.asdict(description)))
    assert record["parts"][0]["topics"][0]["topic"] == "ai"
    assert record["total"]["words_per_turn"]["median"] == description.total.words_per_turn.median


@pytest.mark.parametrize("width", [50, 80, 120])
def test_it_fits_the_terminal(description: Description, width: int) -> None:
    lines = printed(description, width).splitlines()
    assert max(cell_len(line.rstrip()) for line in lines) <= width
    assert "…" not in "".join(lines) or width < 80


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_shows_each_topic_on_one_line(description: Description, width: int) -> None:
    lines = [" ".join(line.split()) for line in printed(description, width).splitlines()]
    assert "tech_support 10 20 144 4 · 5 · 11 2 · 2 · 2" in lines
    for topic in description.topics:
        numbers = topic.statistics
        start = f"{topic.topic} {numbers.dialogues:,} {numbers.turns:,} {numbers.words:,} "
        assert sum(line.startswith(start) for line in lines) == 1


def test_it_says_what_was_dropped_and_why(description: Description) -> None:
    text = printed(description, 120)
    assert "The split drops 2 topics with fewer dialogues than split.min_dialogues." in text
    assert "1,127  duplicates of a dialogue of the same topic" in text
    assert "1  dialogue of fewer than two turns" in text


def test_it_names_the_topics_that_cleaning_emptied() -> None:
    turns = (Turn("user", "Hi"), Turn("bot", "Ho"))
    corpus = build_corpus([Dialogue("a", turns, "1"), Dialogue("b", turns, "2"), Dialogue("c", turns, "3")], "d")
    text = printed(describe(corpus, TopicSplit(("a",), (), ())), 80)
    assert "2  topics without a dialogue left: b, c" in text


def test_nothing_dropped_and_unused_topics_are_said() -> None:
    corpus = build_corpus([Dialogue("a", (Turn("user", "Hi"), Turn("bot", "Ho")), "1")], "d")
    text = printed(describe(corpus, TopicSplit((), (), (), unused=("a",))), 80)
    assert "The split leaves 1 topic unused: in none of its lists." in text
    assert "Cleaning took nothing out." in text


def test_dialogues_that_begin_others_are_counted() -> None:
    turns = (Turn("user", "Hi"), Turn("bot", "Ho"), Turn("user", "Hu"))
    corpus = build_corpus([Dialogue("a", turns, "1"), Dialogue("a", turns[:2], "2")], "d")
    text = printed(describe(corpus, TopicSplit(("a",), (), ())), 120)
    assert "2 dialogues beginning, or begun by, one of the data set; those of a group are on one side of the " in text


def test_names_are_printed_as_they_are() -> None:
    assert "[red]x[/]" in printed(small("[red]x[/]"), 80)
    assert "[/b] :smile:" in printed(small("[/b] :smile:"), 80)


def test_a_topic_that_the_split_does_not_know_is_refused(corpus: Corpus) -> None:
    with pytest.raises(KeyError, match="ai"):
        describe(corpus, TopicSplit((), (), ()))


@pytest.mark.parametrize(
    "name", ["a topic that was copied from a spreadsheet, with all its words", "w" * 90, "主题" * 40]
)
@pytest.mark.parametrize("width", [60, 80])
def test_long_names_of_topics_leave_numbers_whole(name: str, width: int) -> None:
    lines = printed(small(name, *(["one two three"] * 1_200)), width).splitlines()
    assert max(cell_len(line.rstrip()) for line in lines) <= width
    assert sum("1,200" in line and "3,600" in line for line in lines) == 3  # of the part, the topic and all
