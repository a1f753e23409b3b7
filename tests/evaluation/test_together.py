"""Episodes that are evaluated in one pass, compared with the same episodes one by one."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import nn

from metadialog.algorithms.base import Algorithm, GradientAlgorithm, Tools
from metadialog.algorithms.baselines import FineTuning, ZeroShot
from metadialog.algorithms.maml import MAML
from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.datasets.corpus import build_corpus
from metadialog.datasets.dialogue import Dialogue
from metadialog.engines.auto import AutoEngine
from metadialog.episodes import Episode
from metadialog.evaluation import together
from metadialog.evaluation.adaptation import Evaluator, Labels, validate
from metadialog.evaluation.protocol import AdaptationProtocol
from metadialog.evaluation.selection import Measured, Selection, select
from metadialog.generation.base import Generation
from metadialog.generation.beam import Beam
from metadialog.generation.greedy import Greedy
from metadialog.generation.sampling import Sampling
from metadialog.inner.adam import Adam
from metadialog.inner.base import InnerRule
from metadialog.inner.sgd import PLAIN
from metadialog.models.hred import HRED
from metadialog.models.rnn import DialogModel
from metadialog.models.seq2seq import Seq2Seq
from metadialog.samplers.exchanges import Encoders, ExchangeEncoder
from metadialog.samplers.held_out import held_out_episodes
from metadialog.tokenizers.byte_pair import BytePairTokenizer
from metadialog.tokenizers.tokenizer import Tokenizer

SIZES: dict[str, Any] = {"embedding_size": 6, "hidden_size": 8, "layers": 1, "dropout": 0.2, "tied_embedding": False}
LABELS = Labels("maml", "auto", "chatterbot", 0, "meta_test", "en")
ADAM = Adam(betas=[0.9, 0.99], eps=0.01, adapted=None, frozen=[], clip_norm=1.0, weight_decay=0.1, chunk=None)
MODELS = {
    "gru": lambda size: DialogModel(size, cell="gru", **SIZES),
    "hred": lambda size: HRED(size, cell="lstm", **SIZES),
    "seq2seq": lambda size: Seq2Seq(size, attention="luong", cell="gru", **SIZES),
}


@pytest.fixture(scope="module")
def topics() -> Mapping[str, Sequence[Dialogue]]:
    return build_corpus(ChatterbotDataset(language="english").dialogues(), "chatterbot").topics


@pytest.fixture(scope="module")
def tokenizer(topics: Mapping[str, Sequence[Dialogue]]) -> Tokenizer:
    return BytePairTokenizer(vocab_size=280).train(turn.text for d in topics["food"] for turn in d.turns)


@pytest.fixture(scope="module")
def episodes(topics: Mapping[str, Sequence[Dialogue]], tokenizer: Tokenizer) -> list[Episode]:
    """Episodes of two topics, with the same queries for all numbers of shots."""
    encoder = ExchangeEncoder(tokenizer, 2, 24, "response")
    return held_out_episodes(
        {topic: topics[topic] for topic in ("food", "humor")},
        Encoders(encoder, encoder),
        shots=[0, 1, 3],
        queries=2,
        episodes_per_topic=1,
        seed=0,
    )


def alone(algorithm: Algorithm) -> Algorithm:
    """Make an algorithm adapt to one episode at a time."""
    algorithm.adapt_together = lambda *_, **__: None  # type: ignore[method-assign]
    return algorithm


def maml(rule: InnerRule = PLAIN) -> GradientAlgorithm:
    tools = Tools(AutoEngine(memory=1024), rule)
    return MAML(tools, name="maml", inner_lr=0.5, inner_steps=2, first_order=False, reduction="mean")


def protocol() -> AdaptationProtocol:
    return AdaptationProtocol(
        shots=[0, 1, 3],
        queries=2,
        steps=3,
        report_steps=[0, 3],
        episodes_per_topic=1,
        max_tokens=24,
    )


def model_of(kind: str, tokenizer: Tokenizer) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = MODELS[kind](tokenizer.vocab_size)  # type: ignore[no-untyped-call]
    return model.double()


@pytest.fixture(autouse=True)
def afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clear the record of what failed in one pass, and use the code path of a GPU on the CPU."""
    together.one_by_one.clear()
    monkeypatch.setitem(together.AT_ONCE, "cpu", 16)
    monkeypatch.setattr(together, "TOGETHER", {"cpu"})


def test_a_records_perplexity_is_by_word(episodes: list[Episode], tokenizer: Tokenizer) -> None:
    model = model_of("gru", tokenizer)
    found, _ = Evaluator(maml(), protocol(), Greedy(max_tokens=2), tokenizer, LABELS, Selection((), 1)).evaluate(
        model, episodes
    )
    assert found
    words = {(episode.topic, episode.index): int(episode.query.words.sum()) for episode in episodes}
    for record in found:
        of_episode = words[record.topic, record.episode]
        assert record.words == of_episode < record.tokens  # so that a swapped pair is noticed
        assert record.word_perplexity == pytest.approx(math.exp(record.loss * record.tokens / of_episode))


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("generation", [Greedy(max_tokens=6), Sampling(max_tokens=6), Beam(max_tokens=4)])
def test_records_and_replies_are_those_of_one_by_one(
    kind: str, generation: Generation, episodes: list[Episode], tokenizer: Tokenizer
) -> None:
    model = model_of(kind, tokenizer)
    selection = Selection((Measured(3, 0.5, 2, 1.0),), 1)
    rule = ADAM if kind == "hred" else PLAIN
    ways = (maml(rule), alone(maml(rule)))
    (found, samples), (expected, wanted) = (
        Evaluator(way, protocol(), generation, tokenizer, LABELS, selection).evaluate(model, episodes) for way in ways
    )
    assert samples == wanted
    assert len(found) == len(expected) == 2 * (1 + 4 + 4)
    for mine, theirs in zip(map(dataclasses.asdict, found), map(dataclasses.asdict, expected), strict=True):
        for name, value in theirs.items():
            same = mine[name] == value or (isinstance(value, float) and math.isnan(value))
            assert same or mine[name] == pytest.approx(value, rel=1e-10, abs=1e-12), name
    assert model.training
    assert not together.one_by_one  # no fallback was used


def test_a_cpu_adapts_in_one_pass_and_scores_one_by_one(
    episodes: list[Episode], tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "TOGETHER", set())
    assert max(map(len, together.groups(model_of("gru", tokenizer), episodes))) > 1
    assert max(map(len, together.groups(model_of("hred", tokenizer), episodes))) == 1
    test_records_and_replies_are_those_of_one_by_one("gru", Greedy(max_tokens=6), episodes, tokenizer)


@pytest.mark.parametrize(
    "algorithm",
    [
        lambda: FineTuning(Tools(AutoEngine(memory=1024)), name="finetune", inner_lr=0.5, inner_steps=2),
        lambda: ZeroShot(Tools(AutoEngine(memory=1024)), name="zero_shot"),
        maml,
    ],
)
def test_validation_and_selection_are_those_of_one_by_one(
    algorithm: Any,  # noqa: ANN401
    episodes: list[Episode],
    tokenizer: Tokenizer,
) -> None:
    model = model_of("gru", tokenizer)
    ways = (algorithm(), alone(algorithm()))
    found, expected = (validate(model, way, episodes) for way in ways)
    assert found == pytest.approx(expected, rel=1e-10)
    grid, wanted = (select(model, way, episodes, [0.3, 1.0], 3).grid for way in ways)
    assert [(p.shots, p.rate, p.inner_step) for p in grid] == [(p.shots, p.rate, p.inner_step) for p in wanted]
    assert [p.loss for p in grid] == pytest.approx([p.loss for p in wanted], rel=1e-10)
    assert not together.one_by_one
