from collections.abc import Mapping, Sequence

import pytest

from metadialog.datasets.dialogue import Dialogue
from metadialog.episodes import Episode
from metadialog.errors import DataError
from metadialog.samplers.exchanges import Encoders, ExchangeEncoder
from metadialog.samplers.held_out import leave_one_out_episodes
from metadialog.tokenizers.tokenizer import Tokenizer

Topics = Mapping[str, Sequence[Dialogue]]


def make(topics: Topics, tokenizer: Tokenizer, shots: Sequence[int] = (0, 1, 3)) -> list[Episode]:
    encoder = ExchangeEncoder(tokenizer, 3, 64, "response")
    return leave_one_out_episodes(topics, Encoders(encoder, encoder), shots=shots, seed=0)


def test_every_dialogue_is_the_query_once(topics: Topics, tokenizer: Tokenizer) -> None:
    episodes = make(topics, tokenizer, [3])
    queries = [episode.query_ids for episode in episodes]
    assert queries == [(dialogue.id,) for topic in sorted(topics) for dialogue in topics[topic]]
    for episode in episodes:
        assert len(set(episode.support_ids)) == 3
        assert set(episode.support_ids).isdisjoint(episode.query_ids)
        assert topics[episode.topic][episode.index].id == episode.query_ids[0]


def test_supports_are_nested_and_drawn_alike_every_time(topics: Topics, tokenizer: Tokenizer) -> None:
    episodes = make({"ai": topics["ai"]}, tokenizer)
    assert [episode.support_ids for episode in episodes] == [
        e.support_ids for e in make({topic: topics[topic] for topic in ("food", "ai")}, tokenizer) if e.topic == "ai"
    ]
    for none, one, three in zip(episodes[::3], episodes[1::3], episodes[2::3], strict=True):
        assert none.support is None
        assert three.support_ids[:1] == one.support_ids
    assert len({episode.support_ids for episode in episodes[2::3]}) > len(topics["ai"]) / 2


def test_a_topic_has_to_have_one_dialogue_more_than_shots(topics: Topics, tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError, match=r"topic ai: has 3 dialogues, but evaluation\.shots=3 and evaluation.queries=1"):
        make({"ai": topics["ai"][:3]}, tokenizer)
