from collections.abc import Callable, Mapping, Sequence

import pytest
import torch

from metadialog.algorithms.base import Algorithm
from metadialog.datasets.dialogue import Dialogue
from metadialog.engines.base import InnerLoop
from metadialog.engines.learn2learn import Learn2LearnEngine
from metadialog.evaluation.adaptation import validate
from metadialog.models.loss import mean_token_loss
from metadialog.models.rnn import DialogModel
from metadialog.samplers.episodes import EpisodeSampler
from metadialog.samplers.held_out import held_out_episodes
from metadialog.tokenizers.tokenizer import Tokenizer

Make = Callable[..., Algorithm]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(("choice", "first_order"), [("maml", False), ("fomaml", True)])
def test_the_outer_gradient_is_the_engines(
    make_algorithm: Make,
    model: DialogModel,
    sampler: EpisodeSampler,
    choice: str,
    reduction: str,
    *,
    first_order: bool,
) -> None:
    algorithm = make_algorithm(choice, inner_lr=0.2, inner_steps=2, reduction=reduction)
    episodes = sampler.batch(2)
    inner = InnerLoop(0.2, 2, first_order)
    expected = Learn2LearnEngine().meta_gradient(model, mean_token_loss, episodes, inner, reduction)  # type: ignore[arg-type]
    outer = algorithm.outer_step(model, episodes, 0)
    for parameter, gradient in zip(model.parameters(), expected.gradients, strict=True):
        assert parameter.grad is not None
        assert torch.equal(parameter.grad, gradient)
    assert outer.loss == expected.loss.item()
    assert outer.support_loss == expected.support_losses.mean().item()
    assert outer.query_loss == expected.query_losses.mean().item()


@pytest.mark.parametrize("choice", ["maml", "fomaml"])
def test_training_lowers_the_meta_loss_and_new_topics_gain(
    make_algorithm: Make,
    model: DialogModel,
    sampler: EpisodeSampler,
    topics: Mapping[str, Sequence[Dialogue]],
    tokenizer: Tokenizer,
    choice: str,
) -> None:
    algorithm = make_algorithm(choice, inner_lr=0.5, inner_steps=2)
    held_out = held_out_episodes(
        {topic: topics[topic] for topic in ("emotion", "movies")},
        tokenizer,
        shots=[3],
        queries=3,
        episodes_per_topic=3,
        seed=0,
        context_turns=1,
        max_tokens=32,
        query_max_tokens=32,
        loss_on="response",
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    untrained, _ = validate(model, algorithm, held_out)
    losses = []
    for _ in range(40):
        losses.append(algorithm.outer_step(model, sampler.batch(2), 0).loss)
        optimizer.step()
    assert sum(losses[-10:]) < 0.85 * sum(losses[:10])
    before, after = validate(model, algorithm, held_out)
    assert before < untrained
    assert after < before - 0.05
