"""Adaptation to one task without a meta-gradient."""

import gc
import weakref
from collections.abc import Callable

import torch
from torch import Tensor, nn

from metadialog.engines.base import InnerLoop
from metadialog.engines.learn2learn import Learn2LearnEngine
from metadialog.episodes import Batch, Episode
from metadialog.models.loss import mean_token_loss
from metadialog.models.rnn import DialogModel

MakeModel = Callable[..., DialogModel]


def states(model: nn.Module, support: Batch, inner: InnerLoop) -> list[dict[str, Tensor]]:
    return [
        {name: value.clone() for name, value in adapted.state_dict().items()}
        for adapted in Learn2LearnEngine().adapt(model, mean_token_loss, support, inner)
    ]


def support_of(episode: Episode) -> Batch:
    assert episode.support is not None
    return episode.support


def test_each_step_is_plain_gradient_descent(make_model: MakeModel, episodes: list[Episode]) -> None:
    model, support = make_model("lstm"), support_of(episodes[0])
    found = states(model, support, InnerLoop(lr=0.3, steps=4))
    assert len(found) == 5
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in found[0].items())
    by_hand = make_model("lstm")
    for state in found[1:]:
        gradients = torch.autograd.grad(mean_token_loss(by_hand, support), list(by_hand.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(by_hand.parameters(), gradients, strict=True):
                parameter.sub_(0.3 * gradient)
        for name, value in by_hand.state_dict().items():
            torch.testing.assert_close(state[name], value, rtol=1e-12, atol=1e-14)


def test_the_meta_gradient_is_of_this_very_adaptation(make_model: MakeModel, episodes: list[Episode]) -> None:
    model, inner = make_model(), InnerLoop(0.3, 3)
    result = Learn2LearnEngine().meta_gradient(model, mean_token_loss, episodes, inner, "mean")
    for place, episode in enumerate(episodes):
        *_, adapted = Learn2LearnEngine().adapt(model, mean_token_loss, support_of(episode), inner)
        torch.testing.assert_close(mean_token_loss(adapted, episode.query), result.query_losses[place])


def test_the_model_stays_as_it_was(make_model: MakeModel, episodes: list[Episode]) -> None:
    model = make_model().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for adapted in Learn2LearnEngine().adapt(model, mean_token_loss, support_of(episodes[0]), InnerLoop(0.3, 3)):
        assert not adapted.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_frozen_parameters_stay(make_model: MakeModel, episodes: list[Episode]) -> None:
    model = make_model()
    model.embed.weight.requires_grad_(False)
    found = states(model, support_of(episodes[0]), InnerLoop(0.3, 2))
    assert torch.equal(found[2]["embed.weight"], found[0]["embed.weight"])
    assert not torch.equal(found[2]["linear.weight"], found[0]["linear.weight"])


def test_it_works_where_gradients_are_off(make_model: MakeModel, episodes: list[Episode]) -> None:
    expected = states(make_model(), support_of(episodes[0]), InnerLoop(0.3, 2))
    with torch.no_grad():
        found = states(make_model(), support_of(episodes[0]), InnerLoop(0.3, 2))
    assert all(torch.equal(value, expected[2][name]) for name, value in found[2].items())


def test_no_graph_is_kept(make_model: MakeModel, episodes: list[Episode]) -> None:
    losses: list[weakref.ref[Tensor]] = []

    def objective(model: nn.Module, batch: Batch) -> Tensor:
        loss = mean_token_loss(model, batch)
        losses.append(weakref.ref(loss))
        return loss

    for adapted in Learn2LearnEngine().adapt(make_model(), objective, support_of(episodes[0]), InnerLoop(0.3, 4)):
        assert all(parameter.is_leaf for parameter in adapted.parameters())
        gc.collect()
        assert all(loss() is None for loss in losses)
    assert len(losses) == 4
