"""Tasks with non-finite losses or gradients: reported, left out, or repeated with smaller inner rates."""

import logging
import math
import re
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from metadialog.algorithms.base import Algorithm
from metadialog.algorithms.maml import MAML
from metadialog.algorithms.meta_sgd import MetaSGD
from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.datasets.corpus import build_corpus
from metadialog.episodes import Episode
from metadialog.errors import ConfigError
from metadialog.models.rnn import DialogModel
from metadialog.samplers.episodes import EpisodeSampler
from metadialog.tokenizers.character import CharacterTokenizer
from metadialog.training.not_a_number import Guard, Policy, where_not_finite


@pytest.fixture(scope="module")
def episodes() -> Sequence[Episode]:
    topics = build_corpus(ChatterbotDataset(language="english").dialogues(), "chatterbot").topics
    sampler = EpisodeSampler(
        {topic: topics[topic] for topic in ("food", "humor")},
        CharacterTokenizer(vocab_size=300).train(turn.text for one in topics["food"] for turn in one.turns),
        0,
        shots=2,
        queries=2,
        context_turns=1,
        max_tokens=30,
        loss_on="all",
        topic_weighting="uniform",
        temperature=1.0,
    )
    return sampler.batch(4)


def make_model() -> nn.Module:
    torch.manual_seed(0)
    return DialogModel(300, cell="gru", embedding_size=4, hidden_size=6, layers=1, dropout=0.0, tied_embedding=False)


@pytest.fixture
def model() -> nn.Module:
    return make_model()


def gradient(model: nn.Module) -> Tensor:
    return torch.cat([p.grad.flatten().double() for p in model.parameters() if p.grad is not None])


def is_finite(algorithm: Algorithm, model: nn.Module, episode: Episode) -> bool:
    return math.isfinite(algorithm.outer_step(model, [episode], 0).loss) and bool(gradient(model).isfinite().all())


@pytest.fixture(scope="module")
def rate(episodes: Sequence[Episode]) -> float:
    """An inner rate at which the gradients of some tasks overflow single precision, and those of others do not."""
    model = make_model()
    for power in range(72, 90):
        finite = [is_finite(MAML(inner_lr=2.0**power, inner_steps=2), model, one) for one in episodes]
        if any(finite) and not all(finite):
            return 2.0**power
    raise AssertionError("no rate parts these tasks")


@pytest.fixture(scope="module")
def bad(episodes: Sequence[Episode], rate: float) -> list[Episode]:
    """The tasks with non-finite gradients at this rate."""
    model = make_model()
    return [one for one in episodes if not is_finite(MAML(inner_lr=rate, inner_steps=2), model, one)]


def guard(algorithm: Algorithm, model: nn.Module, policy: Policy) -> Guard:
    return Guard(algorithm, [*model.parameters(), *algorithm.learned.parameters()], policy)


def test_what_is_finite_is_as_it_was(model: nn.Module, episodes: Sequence[Episode]) -> None:
    algorithm = MAML(inner_lr=0.1, inner_steps=2)
    algorithm.outer_step(model, episodes, 0)
    expected = gradient(model)
    for policy in ("stop", "skip", "shrink"):
        _, kept = guard(algorithm, model, policy).outer_step(model, episodes, 0, 1)
        assert kept is episodes
        assert torch.equal(gradient(model), expected)


def test_the_tasks_are_named(model: nn.Module, episodes: Sequence[Episode], rate: float, bad: list[Episode]) -> None:
    stopping = guard(MAML(inner_lr=rate, inner_steps=2), model, "stop")
    _, kept = stopping.outer_step(model, episodes, 0, 1)
    assert kept is episodes
    assert not gradient(model).isfinite().all()
    assert stopping.blame(model, episodes, 0, 1) == [
        f"task {one.index} of topic {one.topic!r}: its losses are finite, but its outer gradient is not" for one in bad
    ]
    with torch.no_grad():
        model.get_parameter("embed.weight")[episodes[3].query.inputs[0, -1]] = torch.inf
    first = stopping.blame(model, episodes[3:], 0, 1)
    assert first == ["task 3 of topic 'food': its support loss after 0 inner steps is nan"]


def test_the_tasks_are_left_out(
    model: nn.Module, episodes: Sequence[Episode], rate: float, bad: list[Episode], caplog: pytest.LogCaptureFixture
) -> None:
    algorithm = MAML(inner_lr=rate, inner_steps=2)
    good = [one for one in episodes if one.index not in {other.index for other in bad}]
    expected = algorithm.outer_step(model, good, 0)
    of_good = gradient(model)
    with caplog.at_level(logging.WARNING):
        result, kept = guard(algorithm, model, "skip").outer_step(model, episodes, 6, 1)
    assert kept == good
    assert torch.equal(gradient(model), of_good)
    assert (result.loss, result.support_loss) == (expected.loss, expected.support_loss)
    messages = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [message.partition(": its")[0] for message in messages] == [
        f"step 7: task {one.index} of topic {one.topic!r}" for one in bad
    ]


def test_with_no_task_left_nothing_is_hidden(model: nn.Module, rate: float, bad: list[Episode]) -> None:
    result, kept = guard(MAML(inner_lr=rate, inner_steps=2), model, "skip").outer_step(model, bad, 0, 1)
    assert not kept
    assert result.loss > 0
    assert not gradient(model).isfinite().all()


@pytest.mark.parametrize("kind", [MAML, MetaSGD])
def test_the_tasks_have_smaller_inner_rates(
    model: nn.Module, episodes: Sequence[Episode], rate: float, kind: type[MAML], caplog: pytest.LogCaptureFixture
) -> None:
    """Learned rates are reduced too; the gradient is the mean over all tasks, each at its own rate."""
    algorithm = kind(inner_lr=rate, inner_steps=2)
    algorithm.prepare(model)
    result, kept = guard(algorithm, model, "shrink").outer_step(model, episodes, 0, 1)
    whole = gradient(model)
    assert sorted(one.index for one in kept) == [0, 1, 2, 3]
    said = [re.search(r"task (\d) .* by (\S+)$", record.getMessage()) for record in caplog.records]
    scales = {int(match[1]): float(match[2]) for match in said if match}
    assert scales
    losses, parts = [], []
    for episode in episodes:
        alone = kind(inner_lr=rate * scales.get(episode.index, 1.0), inner_steps=2)
        alone.prepare(model)
        losses.append(alone.outer_step(model, [episode], 0).loss)
        parts.append(gradient(model))
    assert whole.isfinite().all()
    torch.testing.assert_close(
        whole, sum(parts[1:], start=parts[0]) / 4, rtol=1e-3, atol=1e-3 * whole.abs().max().item()
    )
    assert result.loss == pytest.approx(sum(losses) / 4, rel=1e-5)


def test_tasks_that_are_weighed_against_each_other_cannot_be_computed_apart(model: nn.Module) -> None:
    class Weighing(MAML):
        additive = False

    with pytest.raises(ConfigError, match=r"^training\.nan=shrink: .*choose training\.nan=skip$"):
        guard(Weighing(inner_lr=0.1, inner_steps=1), model, "shrink")


def test_a_validation_names_the_task(episodes: Sequence[Episode]) -> None:
    assert where_not_finite(episodes, [(1.0, 1.0)] * 4) == ""
    losses = [(1.0, 1.0), (1.0, float("inf")), (1.0, float("nan")), (float("nan"), 1.0)]
    assert where_not_finite(episodes, losses) == ", not finite in task 1 of topic 'food'"
