"""Properties of episodes that must hold for any data."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metadialog.datasets.corpus import build_corpus
from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.errors import ConfigError
from metadialog.evaluation.protocol import AdaptationProtocol
from metadialog.preparation.episodes import held_out, selection_episodes, validation_episodes
from metadialog.preparation.tokens import train_tokenizer
from metadialog.preparation.topics import Topics
from metadialog.samplers.base import Sampler
from metadialog.samplers.episodes import EpisodeSampler
from metadialog.splits.seeded import SeededSplit

SAMPLER = {"shots": 2, "queries": 2, "context_turns": 3, "max_tokens": 40, "loss_on": "response"}
TOKENIZER = {"_target_": "metadialog.tokenizers.character.CharacterTokenizer", "vocab_size": 5000}


@dataclass(frozen=True)
class Data:
    topics: Topics
    letters: dict[str, str]


@st.composite
def data(draw: st.DrawFn) -> Data:
    """Draw topics, each with its own letter in all of its texts, and split them."""
    sizes = draw(st.lists(st.integers(1, 9), min_size=3, max_size=8).filter(lambda s: sum(n >= 4 for n in s) >= 3))
    letters = {f"topic {i}": chr(0x4E00 + i) for i in range(len(sizes))}
    dialogues: list[Dialogue] = []
    for (topic, letter), size in zip(letters.items(), sizes, strict=True):
        for number in range(size):
            texts = [
                f"{letter}{letter} {number}",
                *draw(st.lists(st.text("ab 我\n", max_size=4), min_size=1, max_size=4)),
            ]
            turns = tuple(Turn("AB"[i % 2], f"{letter}{text}") for i, text in enumerate(texts))
            dialogues.append(Dialogue(topic, turns, f"{topic}:{number}"))
    corpus = build_corpus(draw(st.permutations(dialogues)), "drawn")
    split = SeededSplit(seed=draw(st.integers(0, 9)), validation=0.2, test=0.25, min_dialogues=4).split(corpus.sizes)
    return Data(Topics(corpus, split, "en"), letters)


def sampler(data: Data, seed: int) -> Sampler:
    tokenizer = train_tokenizer(TOKENIZER, data.topics)
    options = {**SAMPLER, "topic_weighting": "uniform", "temperature": 1.0}
    return EpisodeSampler(data.topics.of(data.topics.split.train), tokenizer, seed, **options)  # type: ignore[arg-type]


@given(data())
@settings(deadline=None, max_examples=40)
def test_the_tokenizer_has_seen_the_meta_train_topics_alone(data: Data) -> None:
    tokenizer = train_tokenizer(TOKENIZER, data.topics)
    for topic, letter in data.letters.items():
        known = len(tokenizer.encode(letter)) == 1  # others are encoded as bytes
        assert known == (topic in data.topics.split.train)


@given(data(), st.integers(0, 5))
@settings(deadline=None, max_examples=40)
def test_training_draws_from_the_meta_train_topics_alone(data: Data, seed: int) -> None:
    held = {data.letters[topic] for topic in data.letters if topic not in data.topics.split.train}
    for episode in sampler(data, seed).batch(12):
        assert episode.topic in data.topics.split.train
        assert set(episode.support_ids).isdisjoint(episode.query_ids)
        ids = (*episode.support_ids, *episode.query_ids)
        assert all(identifier.startswith(f"{episode.topic}:") for identifier in ids)
        assert not any(letter in exchange.response for exchange in episode.exchanges for letter in held)


@given(data(), st.booleans(), st.integers(0, 5))
@settings(deadline=None, max_examples=40)
def test_held_out_episodes_share_no_dialogue_with_themselves_or_training(
    data: Data, leave_one_out: bool, seed: int
) -> None:
    queries = 1 if leave_one_out else 2
    protocol = AdaptationProtocol(
        shots=[0, 1, 2],
        queries=queries,
        steps=0,
        report_steps=[0],
        episodes_per_topic=1,
        max_tokens=64,
        seed=seed,
        rates=[0.5, 1.0],
        selection_episodes=1,
        leave_one_out=leave_one_out,
    )
    tokenizer = train_tokenizer(TOKENIZER, data.topics)
    trained_on = {d.id for dialogues in data.topics.of(data.topics.split.train).values() for d in dialogues}
    tested = held_out(data.topics.of(data.topics.split.test), tokenizer, protocol, SAMPLER)
    validated = validation_episodes(data.topics, tokenizer, protocol, SAMPLER, episodes_per_topic=2)
    chosen_on = selection_episodes(data.topics, tokenizer, protocol, SAMPLER)
    assert {episode.topic for episode in chosen_on} == set(data.topics.split.validation)
    assert {episode.topic for episode in tested} == set(data.topics.split.test)
    assert {episode.topic for episode in validated} == set(data.topics.split.validation)
    for episode in (*tested, *validated, *chosen_on):
        assert set(episode.support_ids).isdisjoint(episode.query_ids)
        assert trained_on.isdisjoint((*episode.support_ids, *episode.query_ids))
    without = replace(data.topics, split=replace(data.topics.split, validation=()))
    with pytest.raises(ConfigError, match=r"evaluation\.rates: .* choose evaluation\.rates=null"):
        selection_episodes(without, tokenizer, protocol, SAMPLER)


@given(data(), st.integers(0, 5))
@settings(deadline=None, max_examples=20)
def test_everything_comes_out_the_same_again(data: Data, seed: int) -> None:
    def drawn() -> Sequence[tuple[object, ...]]:
        return [
            (e.topic, e.support_ids, e.query_ids, e.query.inputs.tolist(), e.query.words.tolist())
            for e in sampler(data, seed).batch(6)
        ]

    assert drawn() == drawn()
