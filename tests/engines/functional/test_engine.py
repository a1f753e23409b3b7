"""The functional engine, with models of every kind and all options of the inner loop."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import pytest
import torch
from tests.engines.conftest import in_buckets
from torch import Tensor, nn

from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.datasets.corpus import build_corpus
from metadialog.engines.base import Engine, InnerLoop, Objective
from metadialog.engines.functional.engine import FunctionalEngine
from metadialog.engines.lean import LeanEngine
from metadialog.engines.learn2learn import Learn2LearnEngine
from metadialog.engines.testing import RULES, VOCABULARY, EngineTestCase, random_episodes
from metadialog.engines.vectorized import VectorizedEngine
from metadialog.episodes import Batch, Episode
from metadialog.inner.base import InnerRule
from metadialog.inner.sgd import PLAIN
from metadialog.models.cells import scan
from metadialog.models.hred import HRED
from metadialog.models.loss import mean_token_loss
from metadialog.models.recurrence import CELLS
from metadialog.models.rnn import DialogModel
from metadialog.models.seq2seq import Seq2Seq
from metadialog.models.transformer import Transformer
from metadialog.objectives.self_critical import SelfCritical, self_critical
from metadialog.samplers.episodes import EpisodeSampler
from metadialog.tokenizers.character import CharacterTokenizer
from metadialog.tokenizers.tokenizer import Tokenizer

SIZES: dict[str, Any] = {"embedding_size": 3, "hidden_size": 4, "layers": 1}


def seq2seq(attention: Literal["bahdanau", "luong"], *, tied: bool) -> nn.Module:
    return Seq2Seq(VOCABULARY, attention=attention, cell="gru", dropout=0.0, tied_embedding=tied, **SIZES)


def transformer(dropout: float) -> nn.Module:
    return Transformer(VOCABULARY, embedding_size=8, heads=2, layers=2, dropout=dropout, tied_embedding=True)


class TestFunctional(EngineTestCase):
    models: ClassVar[Mapping[str, Callable[[], nn.Module]]] = {
        **EngineTestCase.models,
        "lstm": lambda: DialogModel(VOCABULARY, cell="lstm", dropout=0.0, tied_embedding=True, **SIZES),
        "luong": lambda: seq2seq("luong", tied=True),
        "bahdanau": lambda: seq2seq("bahdanau", tied=False),
        "hred": lambda: HRED(VOCABULARY, cell="lstm", dropout=0.0, tied_embedding=False, **SIZES),
        "transformer": lambda: transformer(0.0),
    }

    def make_engine(self) -> Engine:
        return FunctionalEngine(memory=1024)


class TestVectorized(EngineTestCase):
    rules: ClassVar[Mapping[str, InnerRule]] = {"sgd": PLAIN}

    def make_engine(self) -> Engine:
        return VectorizedEngine()


class TestLean(TestVectorized):
    def make_engine(self) -> Engine:
        return LeanEngine(memory=1e-6)


def doubled(model: nn.Module, batch: Batch) -> Tensor:
    logits, _ = model(batch.inputs)
    found: Tensor = 2 * (logits.logsumexp(-1) * batch.mask).sum()
    return found


class TestAnOutsidersObjective(TestFunctional):
    objective: ClassVar[Objective] = staticmethod(doubled)
    rules: ClassVar[Mapping[str, InnerRule]] = {name: RULES[name] for name in ("in chunks", "adam")}
    models: ClassVar[Mapping[str, Callable[[], nn.Module]]] = EngineTestCase.models


@pytest.mark.parametrize("lengths", [None, [3, 0, 5]], ids=["whole", "of some lengths"])
@pytest.mark.parametrize("cell", CELLS)
def test_cells_are_torchs_own(cell: str, lengths: list[int] | None) -> None:
    torch.manual_seed(0)
    rnn = CELLS[cell](2, 3, 2, batch_first=True).double()
    inputs = torch.randn(3, 5, 2, dtype=torch.float64)
    first, second = torch.randn(2, 2, 3, 3, dtype=torch.float64)
    start = first, second
    outputs, after = scan(
        rnn, inputs, start if cell == "lstm" else start[0], None if lengths is None else torch.tensor(lengths)
    )
    for row, length in enumerate(lengths or [5, 5, 5]):
        begun = [state[:, row : row + 1].contiguous() for state in start]
        ends = after if isinstance(after, tuple) else (after,)
        if length:
            expected, last = rnn(inputs[row : row + 1, :length], tuple(begun) if cell == "lstm" else begun[0])
            torch.testing.assert_close(outputs[row, :length], expected[0])
            begun = list(last) if isinstance(last, tuple) else [last]
        assert not outputs[row, length:].any()
        for end, wanted in zip(ends, begun, strict=False):
            torch.testing.assert_close(end[:, row], wanted[:, 0])


DROPPING: dict[str, Callable[[], nn.Module]] = {
    "gru": lambda: DialogModel(VOCABULARY, cell="gru", dropout=0.3, tied_embedding=False, **SIZES),
    "luong": lambda: Seq2Seq(VOCABULARY, attention="luong", cell="gru", dropout=0.3, tied_embedding=False, **SIZES),
    "hred": lambda: HRED(VOCABULARY, cell="gru", dropout=0.3, tied_embedding=False, **SIZES),
    "transformer": lambda: transformer(0.3),
}


@pytest.mark.parametrize("name", DROPPING)
def test_all_tasks_at_once_drop_the_units_that_the_reference_drops(name: str) -> None:
    engine = FunctionalEngine(memory=1024)

    class Case(TestFunctional):
        def make_engine(self) -> Engine:
            return engine

    model = DROPPING[name]().double().train()
    episodes = [replace(one, support=in_buckets(one.support)) for one in random_episodes() if one.support]
    Case().compare(model, episodes, InnerLoop(0.3, 3, query_weights=(0.0, 0.2, 0.3, 0.5)))
    Case().compare(model, random_episodes(2), InnerLoop(0.3, 0))
    assert not engine.one_by_one


def test_dropout_between_recurrent_layers_goes_task_by_task() -> None:
    model = HRED(VOCABULARY, cell="gru", embedding_size=3, hidden_size=4, layers=2, dropout=0.3, tied_embedding=False)
    TestFunctional().compare(model.double().train(), random_episodes(2), InnerLoop(0.3, 2))


@pytest.fixture(scope="module")
def dialogues() -> tuple[list[Episode], Tokenizer]:
    """Two tasks of real dialogues."""
    corpus = build_corpus(ChatterbotDataset(language="english").dialogues(), "chatterbot")
    topics = {topic: corpus.topics[topic] for topic in ("ai", "food")}
    tokenizer = CharacterTokenizer(vocab_size=60).train(
        turn.text for of_topic in topics.values() for dialogue in of_topic for turn in dialogue.turns
    )
    sampler = EpisodeSampler(
        topics,
        tokenizer,
        0,
        shots=2,
        queries=1,
        context_turns=1,
        max_tokens=12,
        loss_on="response",
        topic_weighting="uniform",
        temperature=1.0,
    )
    return sampler.batch(2), tokenizer


@pytest.mark.parametrize(
    ("level", "name", "rule"),
    [("inner", "gru", "sgd"), ("outer", "hred", "momentum"), ("both", "transformer", "in chunks")],
)
def test_self_critical_training(
    dialogues: tuple[list[Episode], Tokenizer], level: Literal["inner", "outer", "both"], name: str, rule: str
) -> None:
    episodes, tokenizer = dialogues
    objectives = self_critical(tokenizer, reward="rouge_l", bleu_tokenizer="13a", level=level, weight=0.5, max_tokens=4)
    for objective in (objectives.inner, objectives.outer):
        if isinstance(objective, SelfCritical):
            # An untrained model says nothing that is in the references.
            objective.reward = lambda _, reply: len(set(reply)) / 4
    torch.manual_seed(0)
    size = tokenizer.vocab_size
    made: dict[str, Callable[[], nn.Module]] = {
        "gru": lambda: DialogModel(size, cell="gru", dropout=0.2, tied_embedding=False, **SIZES),
        "hred": lambda: HRED(size, cell="gru", dropout=0.2, tied_embedding=False, **SIZES),
        "transformer": lambda: Transformer(
            size, embedding_size=8, heads=2, layers=1, dropout=0.2, tied_embedding=False
        ),
    }

    class Case(TestFunctional):
        objective: ClassVar[Objective] = staticmethod(objectives.outer)

    inner = InnerLoop(0.3, 2, rule=RULES[rule], support_objective=objectives.inner)
    result = Case().compare(made[name]().double().train(), episodes, inner)
    plain = Learn2LearnEngine().meta_gradient(
        made[name]().double().train(), mean_token_loss, episodes, InnerLoop(0.3, 2), "mean"
    )
    assert not torch.allclose(result.query_losses, plain.query_losses)


def test_few_tasks_at_once_are_all_tasks() -> None:
    model = TestFunctional.models["luong"]().double()

    class Short(TestFunctional):
        def make_engine(self) -> Engine:
            return FunctionalEngine(memory=0.02)

    Short().compare(model, random_episodes(4), InnerLoop(0.3, 4))
