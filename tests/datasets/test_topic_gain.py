import pytest

from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.datasets.corpus import Corpus, build_corpus
from metadialog.datasets.dialogues import Dialogues
from metadialog.datasets.topic_gain import topic_gain


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    source = ChatterbotDataset(language="chinese")
    return build_corpus(source.dialogues(), source.name)


def test_topics_that_share_words_are_worth_something(corpus: Corpus) -> None:
    gain = topic_gain(corpus.topics, episodes=100)
    assert gain is not None
    assert gain == topic_gain(corpus.topics, episodes=100)
    assert gain.own > gain.any >= 0
    assert gain.topic > 0.05


def test_topics_dealt_at_random_are_worth_nothing(corpus: Corpus) -> None:
    everything = [dialogue for dialogues in corpus.topics.values() for dialogue in dialogues]
    dealt = {str(number): Dialogues.of(everything[number::10]) for number in range(10)}
    gain = topic_gain(dealt, episodes=100)
    assert gain is not None
    assert gain.topic == pytest.approx(0, abs=0.03)


def test_a_single_topic_or_small_ones_have_no_gain(corpus: Corpus) -> None:
    largest = max(corpus.topics, key=lambda topic: len(corpus.topics[topic]))
    assert topic_gain({largest: corpus.topics[largest]}) is None
    assert topic_gain({topic: dialogues.pick(range(1)) for topic, dialogues in corpus.topics.items()}) is None
