from collections.abc import Mapping, Sequence

import pytest
import torch

from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.episodes import Episode
from metadialog.errors import DataError
from metadialog.samplers.exchanges import Encoders, ExchangeEncoder
from metadialog.samplers.held_out import held_out_episodes
from metadialog.text import words
from metadialog.tokenizers.tokenizer import Tokenizer

Topics = Mapping[str, Sequence[Dialogue]]


def draw(topics: Topics, tokenizer: Tokenizer, shots: Sequence[int] = (0, 1, 3), seed: int = 0) -> list[Episode]:
    encoder = ExchangeEncoder(tokenizer, 3, 64, "response")
    return held_out_episodes(
        topics,
        Encoders(encoder, encoder),
        shots=shots,
        queries=4,
        episodes_per_topic=2,
        seed=seed,
    )


def chosen(episode: Episode) -> tuple[str, int, tuple[str, ...], tuple[str, ...]]:
    return episode.topic, episode.index, episode.support_ids, episode.query_ids


def test_the_draws_are_the_same_everywhere(topics: Topics, tokenizer: Tokenizer) -> None:
    episodes = draw({"ai": topics["ai"]}, tokenizer, shots=[2], seed=7)
    assert [chosen(episode) for episode in episodes] == PINNED


def test_they_come_by_topic_then_number_then_shots(topics: Topics, tokenizer: Tokenizer) -> None:
    some = {topic: topics[topic] for topic in ("science", "ai")}
    order = [(episode.topic, episode.index, episode.shots) for episode in draw(some, tokenizer)]
    assert order == [(topic, i, k) for topic in ("ai", "science") for i in range(2) for k in (0, 1, 3)]


def test_queries_are_shared_and_supports_nested(topics: Topics, tokenizer: Tokenizer) -> None:
    episodes = draw(topics, tokenizer)
    for none, one, three in zip(episodes[::3], episodes[1::3], episodes[2::3], strict=True):
        assert none.query_ids == one.query_ids == three.query_ids
        assert torch.equal(none.query.inputs, three.query.inputs)
        assert none.exchanges == one.exchanges == three.exchanges
        assert none.support is None
        assert none.support_ids == ()
        assert one.support is not None
        assert three.support is not None
        assert len(one.support.inputs) <= len(three.support.inputs)
        assert one.support_ids == three.support_ids[:1]
        assert len(three.support_ids) == 3
        assert not set(three.support_ids) & set(three.query_ids)


def test_other_topics_and_other_shots_change_nothing(topics: Topics, tokenizer: Tokenizer) -> None:
    alone = [chosen(e) for e in draw({"ai": topics["ai"]}, tokenizer)]
    among = [chosen(e) for e in draw(topics, tokenizer) if e.topic == "ai"]
    more = [chosen(e) for e in draw({"ai": topics["ai"]}, tokenizer, shots=[0, 1, 3, 8])]
    assert alone == among == [one for one in more if len(one[2]) != 8]


def test_seeds_and_numbers_make_other_episodes(topics: Topics, tokenizer: Tokenizer) -> None:
    ai = {"ai": topics["ai"]}
    drawn = {e.query_ids for seed in (0, 1) for e in draw(ai, tokenizer, shots=[1], seed=seed)}
    assert len(drawn) == 4


def test_no_support_dialogue_answers_a_query(tokenizer: Tokenizer) -> None:
    greetings = [Dialogue("t", (Turn("a", "Hi"), Turn("b", text), Turn("a", "Bye")), text) for text in ("Oh", "Hello")]
    others = [Dialogue("t", (Turn("a", f"Q{n}"), Turn("b", "Hi"), Turn("a", "hello")), f"{n}") for n in range(20)]
    mixed = {"t": [*others[:3], *greetings, *others[3:]]}
    found = 0
    for episode in (e for seed in range(20) for e in draw(mixed, tokenizer, shots=[1, 3], seed=seed)):
        if "Hello" in episode.query_ids:  # only the other greeting does not answer "Hi" by "Hello"
            found += 1
            assert "Oh" in episode.query_ids or episode.support_ids[0] == "Oh"
    assert found > 0


def test_queries_that_do_not_fit_are_cut_by_their_own_length(topics: Topics, tokenizer: Tokenizer) -> None:
    ai = {"ai": topics["ai"]}
    support, long = (ExchangeEncoder(tokenizer, 3, most, "response") for most in (16, 512))
    short, whole = (
        held_out_episodes(ai, Encoders(support, query), shots=[2], queries=4, episodes_per_topic=2, seed=0)
        for query in (support, long)
    )
    for cut, full in zip(short, whole, strict=True):
        assert cut.support is not None
        assert full.support is not None
        assert torch.equal(cut.support.inputs, full.support.inputs)
        assert full.query.words.tolist() == [len(words(exchange.response)) for exchange in full.exchanges]
        assert cut.query.words.sum() < full.query.words.sum()


def test_a_topic_with_too_few_dialogues_is_named(topics: Topics, tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError) as caught:
        draw({"ai": topics["ai"][:6]}, tokenizer)
    assert str(caught.value).startswith(
        "topic ai: has 6 dialogues, but evaluation.shots=3 and evaluation.queries=4 take 7: "
    )


PINNED = [
    (
        "ai",
        0,
        ("english/ai.yml:17", "english/ai.yml:195"),
        ("english/ai.yml:25", "english/ai.yml:119", "english/ai.yml:13", "english/ai.yml:111"),
    ),
    (
        "ai",
        1,
        ("english/ai.yml:115", "english/ai.yml:55"),
        ("english/ai.yml:5", "english/ai.yml:27", "english/ai.yml:79", "english/ai.yml:111"),
    ),
]
