from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.datasets.corpus import open_store, write_store
from metadialog.datasets.dialogue import Dialogue
from metadialog.datasets.dialogues import Dialogues
from metadialog.episodes import Episode
from metadialog.samplers.episodes import EpisodeSampler
from metadialog.samplers.exchanges import Encoders, ExchangeEncoder
from metadialog.samplers.held_out import held_out_episodes
from metadialog.samplers.tokens import PreparedTokenizer, TokenStore, tokenize, write_tokens
from metadialog.tokenizers.byte_pair import BytePairTokenizer
from metadialog.tokenizers.tokenizer import Tokenizer

Topics = Mapping[str, Sequence[Dialogue]]
OPTIONS: dict[str, Any] = {"queries": 5, "context_turns": 3, "max_tokens": 40, "loss_on": "response"}


@pytest.fixture(scope="module")
def plain(topics: Topics) -> Tokenizer:
    texts = [turn.text for found in topics.values() for dialogue in found for turn in dialogue.turns]
    return BytePairTokenizer(vocab_size=400).train(texts)


@pytest.fixture(scope="module")
def on_disk(topics: Topics, tmp_path_factory: pytest.TempPathFactory) -> Topics:
    folder = tmp_path_factory.mktemp("store")
    write_store(ChatterbotDataset(language="english"), folder)
    corpus = open_store(folder)
    return {topic: corpus.topics[topic] for topic in topics}


@pytest.fixture(scope="module")
def prepared(plain: Tokenizer, on_disk: Topics, tmp_path_factory: pytest.TempPathFactory) -> PreparedTokenizer:
    folder = tmp_path_factory.mktemp("tokens")
    dialogues = next(iter(on_disk.values()))
    assert isinstance(dialogues, Dialogues)
    write_tokens(dialogues.store, plain, folder)
    return PreparedTokenizer(plain, TokenStore(folder, dialogues.store))


def same(ours: Episode, theirs: Episode) -> bool:
    assert ours.support is not None
    assert theirs.support is not None
    return (
        (ours.topic, ours.index, ours.support_ids, ours.query_ids)
        == (theirs.topic, theirs.index, theirs.support_ids, theirs.query_ids)
        and ours.exchanges == theirs.exchanges
        and all(
            torch.equal(getattr(one, name), getattr(other, name))
            for one, other in ((ours.support, theirs.support), (ours.query, theirs.query))
            for name in ("inputs", "targets", "mask", "words")
        )
    )


def test_what_is_on_disk_is_what_the_tokenizer_gives(
    plain: Tokenizer, prepared: PreparedTokenizer, on_disk: Topics
) -> None:
    for found in on_disk.values():
        assert isinstance(found, Dialogues)
        for row, dialogue in zip(found.rows.tolist(), found, strict=True):
            expected = tokenize(dialogue, plain)
            tokens = prepared.prepared.tokens(row)
            assert np.array_equal(tokens.ids, expected.ids)
            assert np.array_equal(tokens.lengths, expected.lengths)
            assert np.array_equal(tokens.words, expected.words)
            assert [list(plain.encode(turn.text)) for turn in dialogue.turns] == _turns(tokens.ids)


def _turns(ids: np.ndarray[Any, Any]) -> list[list[int]]:
    turns: list[list[int]] = []
    for token in ids.tolist():
        if token < 0:
            turns.append([])
        else:
            turns[-1].append(token)
    return turns


@pytest.mark.parametrize("loss_on", ["response", "all"])
def test_training_episodes_are_the_same_from_memory_and_from_disk(
    loss_on: str, plain: Tokenizer, prepared: PreparedTokenizer, topics: Topics, on_disk: Topics
) -> None:
    options = OPTIONS | {"shots": 5, "topic_weighting": "uniform", "temperature": 1.0, "loss_on": loss_on}
    memory = EpisodeSampler(topics, plain, 7, **options)
    for source, tokenizer in ((on_disk, prepared), (on_disk, plain), (topics, prepared)):
        other = EpisodeSampler(source, tokenizer, 7, **options)
        assert all(same(one, two) for one, two in zip(memory.batch(10), other.batch(10), strict=True))
        memory.load_state_dict({"next_episode": 0})


def test_held_out_episodes_are_the_same_from_memory_and_from_disk(
    plain: Tokenizer, prepared: PreparedTokenizer, topics: Topics, on_disk: Topics
) -> None:
    def drawn(dialogues: Topics, tokenizer: Tokenizer) -> list[Episode]:
        encoder = ExchangeEncoder(tokenizer, 3, 40, "response")
        return held_out_episodes(
            dialogues, Encoders(encoder, encoder), shots=[1, 5], queries=5, episodes_per_topic=2, seed=3
        )

    ours, theirs = drawn(on_disk, prepared), drawn(topics, plain)
    assert all(same(one, two) for one, two in zip(ours, theirs, strict=True))
