from collections.abc import Callable, Mapping, Sequence

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from metadialog.algorithms.base import Algorithm
from metadialog.datasets.dialogue import Dialogue
from metadialog.episodes import Batch
from metadialog.evaluation.adaptation import validate
from metadialog.models.rnn import DialogModel
from metadialog.samplers.episodes import EpisodeSampler
from metadialog.samplers.exchanges import Encoders, ExchangeEncoder
from metadialog.samplers.held_out import held_out_episodes
from metadialog.tokenizers.tokenizer import Tokenizer

Make = Callable[..., Algorithm]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(("choice", "first_order"), [("maml", False), ("fomaml", True)])
def test_the_outer_gradient_is_that_of_plain_autograd(
    make_algorithm: Make,
    model: DialogModel,
    sampler: EpisodeSampler,
    choice: str,
    reduction: str,
    *,
    first_order: bool,
) -> None:
    """Finn et al. 2017, algorithm 1, computed directly in float64 without an engine."""
    model.double()
    episodes = sampler.batch(2)
    start = {name: value.detach().clone().requires_grad_() for name, value in model.named_parameters()}

    def loss_of(parameters: Mapping[str, Tensor], batch: Batch | None) -> Tensor:
        assert batch is not None
        logits: Tensor = functional_call(model, dict(parameters), (batch.inputs,))[0]
        chosen = logits.log_softmax(-1).gather(-1, batch.targets[..., None]).squeeze(-1)
        return -(chosen * batch.mask).sum() / batch.mask.sum()

    support_losses, query_losses = [], []
    for episode in episodes:
        current: Mapping[str, Tensor] = start
        for step in range(2):
            loss = loss_of(current, episode.support)
            if step == 0:
                support_losses.append(loss.item())
            found = torch.autograd.grad(loss, list(current.values()), create_graph=not first_order)
            current = {name: value - 0.2 * g for (name, value), g in zip(current.items(), found, strict=True)}
        query_losses.append(loss_of(current, episode.query))
    losses = torch.stack(query_losses)
    expected = losses.mean() if reduction == "mean" else losses.sum()
    gradients = torch.autograd.grad(expected, list(start.values()))
    algorithm = make_algorithm(choice, inner_lr=0.2, inner_steps=2, reduction=reduction)
    outer = algorithm.outer_step(model, episodes, 0)
    for (name, parameter), gradient in zip(model.named_parameters(), gradients, strict=True):
        assert parameter.grad is not None, name
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-8, atol=1e-12)
    assert outer.loss == pytest.approx(expected.item(), rel=1e-10)
    assert outer.support_loss == pytest.approx(sum(support_losses) / 2, rel=1e-10)
    assert outer.query_loss == pytest.approx(losses.mean().item(), rel=1e-10)


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
    encoder = ExchangeEncoder(tokenizer, 1, 32, "response")
    held_out = held_out_episodes(
        {topic: topics[topic] for topic in ("emotion", "movies")},
        Encoders(encoder, encoder),
        shots=[3],
        queries=3,
        episodes_per_topic=3,
        seed=0,
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
