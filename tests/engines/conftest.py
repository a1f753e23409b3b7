"""Fixtures: real dialogues in a vocabulary so small that every parameter can be checked."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.datasets.corpus import build_corpus
from metadialog.engines.auto import AutoEngine
from metadialog.engines.base import Engine, InnerLoop, Reduction
from metadialog.engines.lean import LeanEngine
from metadialog.engines.learn2learn import Learn2LearnEngine
from metadialog.engines.vectorized import VectorizedEngine
from metadialog.episodes import Batch, Episode
from metadialog.models.rnn import DialogModel
from metadialog.randomness import TaskSeeds
from metadialog.samplers.episodes import EpisodeSampler
from metadialog.tokenizers.character import CharacterTokenizer

VOCABULARY = 11
TwoLevels = Callable[[nn.Module, dict[str, Tensor], Sequence[Episode], InnerLoop, Reduction], Tensor]


def folded(batch: Batch | None) -> Batch:
    """Map the token ids to the small vocabulary; lengths, padding and mask are those of the dialogues."""
    assert batch is not None
    return replace(batch, inputs=batch.inputs % VOCABULARY, targets=batch.targets % VOCABULARY)


def in_buckets(batch: Batch) -> Batch:
    """Divide a batch in two by length, as samplers do with long batches."""
    lengths = (batch.mask * torch.arange(1, batch.mask.shape[1] + 1)).amax(1)
    order = lengths.argsort()
    buckets = []
    for rows in (half.sort().values for half in order.chunk(2)):
        time = int(lengths[rows].max())
        inputs, targets, mask = (tensor[rows, :time] for tensor in (batch.inputs, batch.targets, batch.mask))
        buckets.append(Batch(inputs, targets, mask, batch.words[rows], rows=rows))
    return replace(batch, buckets=tuple(buckets))


@pytest.fixture(scope="session")
def episodes() -> list[Episode]:
    """Two tasks of real dialogues, with exchanges of different lengths."""
    corpus = build_corpus(ChatterbotDataset(language="english").dialogues(), "chatterbot")
    sampler = EpisodeSampler(
        {topic: corpus.topics[topic] for topic in ("ai", "food", "movies")},
        CharacterTokenizer(vocab_size=261).train([]),
        0,
        shots=2,
        queries=1,
        context_turns=1,
        max_tokens=10,
        loss_on="all",
        topic_weighting="uniform",
        temperature=1.0,
    )
    drawn = sampler.batch(2)
    assert drawn[0].topic != drawn[1].topic
    return [replace(e, support=folded(e.support), query=folded(e.query)) for e in drawn]


@pytest.fixture
def make_model() -> Callable[..., DialogModel]:
    """A function that builds a small model in float64."""

    def make(cell: str = "gru", *, layers: int = 1, dropout: float = 0.0, tied: bool = False) -> DialogModel:
        torch.manual_seed(3)
        return DialogModel(
            VOCABULARY,
            cell=cell,  # type: ignore[arg-type]
            embedding_size=2,
            hidden_size=3,
            layers=layers,
            dropout=dropout,
            tied_embedding=tied,
        ).double()

    return make


ENGINES: dict[str, Engine] = {
    "learn2learn": Learn2LearnEngine(),
    "vectorized": VectorizedEngine(),
    "lean": LeanEngine(memory=1e-6),  # one task at a time, and no weights kept
    "auto": AutoEngine(memory=1024),
}


@pytest.fixture
def engines() -> dict[str, Engine]:
    """All engines."""
    return ENGINES


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine."""
    return ENGINES[request.param]


def cross_entropy(model: nn.Module, parameters: dict[str, Tensor], batch: Batch) -> Tensor:
    """Return the mean token loss, computed directly."""
    logits: Tensor = functional_call(model, parameters, (batch.inputs,))[0]
    chosen = logits.log_softmax(-1).gather(-1, batch.targets[..., None]).squeeze(-1)
    return -(chosen * batch.mask).sum() / batch.mask.sum()


def of_task(
    model: nn.Module, parameters: dict[str, Tensor], episode: Episode, inner: InnerLoop, seeds: TaskSeeds
) -> Tensor:
    """Return the outer loss of one task: the weighted query losses after the inner steps."""
    assert episode.support is not None
    adapted, losses = dict(parameters), []
    weights = inner.query_weights or [0.0] * inner.steps + [1.0]
    with seeds.of(episode.index):
        for step in range(inner.steps):
            if weights[step]:
                losses.append(weights[step] * cross_entropy(model, adapted, episode.query))
            loss = cross_entropy(model, adapted, episode.support)
            changed = {n: value for n, value in adapted.items() if value.requires_grad and inner.adapts(n)}
            gradients = torch.autograd.grad(loss, list(changed.values()), create_graph=True)
            for (name, value), gradient in zip(changed.items(), gradients, strict=True):
                rate = inner.lr if inner.rates is None else inner.rates[min(step, len(inner.rates) - 1)][name]
                adapted[name] = value - rate * (gradient.detach() if inner.first_order else gradient)
        losses.append(weights[-1] * cross_entropy(model, adapted, episode.query))
    return torch.stack(losses).sum()


@pytest.fixture
def two_levels() -> TwoLevels:
    """Return the outer objective as a function of the parameters, in plain autograd without learn2learn."""

    def objective(
        model: nn.Module,
        parameters: dict[str, Tensor],
        episodes: Sequence[Episode],
        inner: InnerLoop,
        reduction: Reduction,
    ) -> Tensor:
        seeds = TaskSeeds()
        total = torch.stack([of_task(model, parameters, episode, inner, seeds) for episode in episodes])
        return total.mean() if reduction == "mean" else total.sum()

    return objective
