"""Hooks for a user's algorithms and models, which need not inherit from ours."""

from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor, nn

from metadialog.algorithms.base import Algorithm, Retriever
from metadialog.algorithms.baselines import FineTuning, ZeroShot
from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.datasets.corpus import build_corpus
from metadialog.datasets.dialogue import Dialogue
from metadialog.engines.auto import AutoEngine
from metadialog.engines.base import InnerLoop
from metadialog.engines.learn2learn import Learn2LearnEngine
from metadialog.engines.testing import relative_error
from metadialog.engines.vectorized import VectorizedEngine
from metadialog.episodes import Batch, Episode, Exchange
from metadialog.errors import ConfigError
from metadialog.evaluation.adaptation import Evaluated, Evaluator, Labels
from metadialog.evaluation.protocol import AdaptationProtocol
from metadialog.generation.greedy import Greedy
from metadialog.models.loss import mean_token_loss
from metadialog.models.protocol import BaseModel, Shown
from metadialog.models.rnn import DialogModel
from metadialog.samplers.exchanges import Encoders, ExchangeEncoder
from metadialog.samplers.held_out import held_out_episodes
from metadialog.tokenizers.character import CharacterTokenizer

LABELS = Labels("own", "auto", "chatterbot", 0, "meta_test", "en")
TOKENIZER = CharacterTokenizer(vocab_size=261).train([])
PROTOCOL = AdaptationProtocol(
    shots=[1],
    queries=1,
    steps=1,
    report_steps=[0, 1],
    episodes_per_topic=1,
    max_tokens=16,
)


class OwnLayers(BaseModel):
    """A GRU model that computes the same as `DialogModel`, with layers of the same names."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(TOKENIZER.vocab_size, 4)
        self.rnn = nn.GRU(4, 6, batch_first=True)
        self.drop, self.project = nn.Dropout(0.0), nn.Identity()
        self.linear = nn.Linear(6, TOKENIZER.vocab_size)

    def forward(self, tokens: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        output, state = self.rnn(self.embed(tokens), state)
        return self.linear(output), state


class Covered(OwnLayers):
    """The same, and declares it."""

    obstacle = None


class WithPrompt(OwnLayers):
    """Declares that its prompt has two dialogues of three."""

    shown = Shown(tokens=(5, 6, 7), dialogues=2, left_out=1)


class Parrot(ZeroShot):
    """Replies with the last turn of the support set."""

    name = "parrot"

    def retriever(self) -> Retriever:
        def last(context: str, exchanges: Sequence[Exchange]) -> list[str]:
            return [f"{exchange.response}, {len(context)}" for exchange in reversed(exchanges)]

        return last


class Greedier(FineTuning):
    """Adapts to all dialogues of a topic except the queries."""

    name = "greedier"

    def __init__(self) -> None:
        super().__init__(name="greedier", inner_lr=0.1, inner_steps=1)
        self.adapted_to: list[Batch | None] = []

    def adapts_to(self, episode: Episode) -> Batch | None:
        return None if episode.others is None else episode.others()

    def adapt(self, model: nn.Module, support: Batch | None, steps: int, scale: float = 1.0) -> Iterator[nn.Module]:
        self.adapted_to.append(support)
        return super().adapt(model, support, steps, scale)


def evaluate(model: nn.Module, algorithm: Algorithm, episodes: Sequence[Episode]) -> Evaluated:
    return Evaluator(algorithm, PROTOCOL, Greedy(max_tokens=2), TOKENIZER, LABELS).evaluate(model, episodes)


@pytest.fixture(scope="module")
def food() -> Sequence[Dialogue]:
    return build_corpus(ChatterbotDataset(language="english").dialogues(), "chatterbot").topics["food"][:6]


@pytest.fixture(scope="module")
def episodes(food: Sequence[Dialogue]) -> list[Episode]:
    encoder = ExchangeEncoder(TOKENIZER, 1, 16, "response")
    return held_out_episodes(
        {"food": food},
        Encoders(encoder, encoder),
        shots=[1],
        queries=1,
        episodes_per_topic=2,
        seed=0,
    )


def test_replies_of_ones_own(episodes: list[Episode]) -> None:
    _, samples = evaluate(OwnLayers(), Parrot(), episodes)
    expected = [
        f"{episode.support_exchanges[-1].response}, {len(asked.context)}"
        for episode in episodes
        for asked in episode.exchanges
    ]
    assert [sample.after for sample in samples] == expected


def test_more_of_the_topic_than_the_support_set(episodes: list[Episode], food: Sequence[Dialogue]) -> None:
    algorithm = Greedier()
    evaluate(OwnLayers(), algorithm, episodes[:1])
    exchanges = sum(len(dialogue.turns) - 1 for dialogue in food)
    [adapted_to] = algorithm.adapted_to
    assert adapted_to is not None
    assert len(adapted_to.inputs) == exchanges - len(episodes[0].query.inputs)


def test_a_prompt_of_ones_own_is_counted(episodes: list[Episode]) -> None:
    model = WithPrompt()
    records, _ = evaluate(model, ZeroShot(), episodes)
    assert {(record.in_prompt, record.left_out, record.prompt_tokens) for record in records} == {(2, 1, 3)}


def test_written_out_derivatives_are_for_whoever_says_that_they_hold(episodes: list[Episode]) -> None:
    torch.manual_seed(0)
    model, inner = Covered().double(), InnerLoop(0.3, 2)
    expected = Learn2LearnEngine().meta_gradient(model, mean_token_loss, episodes, inner, "mean")
    result = VectorizedEngine().meta_gradient(model, mean_token_loss, episodes, inner, "mean")
    assert relative_error(result.gradients, expected.gradients) < 1e-10
    engine = AutoEngine(memory=1024)
    assert engine.pick(model, mean_token_loss, episodes, inner)[0] != "functional"
    assert engine.pick(OwnLayers(), mean_token_loss, episodes, inner)[0] == "functional"
    with pytest.raises(ConfigError, match="not the model OwnLayers"):
        VectorizedEngine().meta_gradient(OwnLayers(), mean_token_loss, episodes, inner, "mean")


def test_a_subclass_with_a_forward_of_its_own_is_not_taken_for_its_parent() -> None:
    class Scaled(DialogModel):
        def forward(self, tokens: Tensor, hidden: object = None, at: Tensor | None = None) -> tuple[Tensor, Tensor]:
            logits, state = super().forward(tokens, hidden, at)  # type: ignore[arg-type]
            return 2 * logits, state  # type: ignore[return-value]

    assert Scaled(9, 4, embedding_size=4).obstacle == "the model Scaled"
