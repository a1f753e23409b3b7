"""The retrieval baseline, on real dialogues and on hand-made ones."""

import math
from dataclasses import replace

import pytest

from metadialog.algorithms.retrieval import nearest_responses
from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.datasets.corpus import build_corpus
from metadialog.episodes import Episode, Exchange
from metadialog.samplers.exchanges import Encoders, ExchangeEncoder
from metadialog.samplers.held_out import held_out_episodes
from metadialog.tokenizers.character import CharacterTokenizer


@pytest.fixture
def episode() -> Episode:
    corpus = build_corpus(ChatterbotDataset(language="english").dialogues(), "chatterbot")
    encoder = ExchangeEncoder(CharacterTokenizer(vocab_size=261).train([]), 1, 64, "response")
    (found,) = held_out_episodes(
        {"food": corpus.topics["food"]},
        Encoders(encoder, encoder),
        shots=[5],
        queries=2,
        episodes_per_topic=1,
        seed=0,
    )
    return found


def retrieve_replies(episode: Episode) -> list[str]:
    return [nearest_responses(asked.context, episode.support_exchanges)[0] for asked in episode.exchanges]


def test_a_context_that_was_seen_gets_its_response(episode: Episode) -> None:
    asked = replace(episode, exchanges=episode.support_exchanges)
    contexts = [exchange.context for exchange in episode.support_exchanges]
    first = {c: e.response for c, e in reversed(list(zip(contexts, episode.support_exchanges, strict=True)))}
    assert retrieve_replies(asked) == [first[context] for context in contexts]


def test_replies_come_from_the_support_set(episode: Episode) -> None:
    replies = retrieve_replies(episode)
    assert len(replies) == len(episode.exchanges)
    assert set(replies) <= {exchange.response for exchange in episode.support_exchanges}


def test_without_support_there_is_nothing_to_say() -> None:
    assert nearest_responses("do you like tea", ()) == []


def test_rare_words_weigh_more(episode: Episode) -> None:
    def exchange(context: str, response: str) -> Exchange:
        return Exchange((0,), context, response)

    support = [exchange("do you like tea", "A"), exchange("do you like beer", "B"), exchange("what is tea", "C")]
    # "is" and "what" occur in one of three, "do", "you" and "like" in two: C by the weights, A by the number of words.
    asked = replace(
        episode, support_exchanges=support, exchanges=[exchange("what is like it", "")], query=episode.query
    )
    rare, common, tea = (math.log(4 / (1 + count)) + 1 for count in (1, 2, 2))
    c = 2 * rare**2 / math.sqrt((2 * rare**2 + common**2) * (2 * rare**2 + tea**2))
    a = common**2 / math.sqrt((2 * rare**2 + common**2) * (3 * common**2 + tea**2))
    assert c > a
    assert retrieve_replies(asked) == ["C"]
    assert retrieve_replies(replace(asked, exchanges=[exchange("BEER", "")])) == ["B"]
