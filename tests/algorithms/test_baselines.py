from collections.abc import Callable

import pytest
import torch

from metadialog.algorithms.base import Algorithm
from metadialog.episodes import merge
from metadialog.models.loss import mean_token_loss, token_losses
from metadialog.models.rnn import DialogModel
from metadialog.samplers.episodes import EpisodeSampler

Make = Callable[..., Algorithm]


@pytest.mark.parametrize("choice", ["finetune", "zero_shot"])
def test_joint_training_is_on_all_dialogues_of_the_meta_batch(
    make_algorithm: Make, model: DialogModel, sampler: EpisodeSampler, choice: str
) -> None:
    episodes = sampler.batch(3)
    total, tokens = torch.zeros(()), 0
    for episode in episodes:
        for batch in (episode.support, episode.query):
            assert batch is not None
            total, tokens = total + token_losses(model, batch).sum(), tokens + int(batch.mask.sum())
    expected = torch.autograd.grad(total / tokens, list(model.parameters()))
    outer = make_algorithm(choice).outer_step(model, episodes, 0)
    assert outer.loss == pytest.approx((total / tokens).item())
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_two_outer_steps_do_not_add_up(make_algorithm: Make, model: DialogModel, sampler: EpisodeSampler) -> None:
    episodes, algorithm = sampler.batch(2), make_algorithm("finetune")
    algorithm.outer_step(model, episodes, 0)
    once = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    algorithm.outer_step(model, episodes, 0)
    for parameter, gradient in zip(model.parameters(), once, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_fine_tuning_goes_down_on_the_support_set(
    make_algorithm: Make, model: DialogModel, sampler: EpisodeSampler
) -> None:
    support = merge([sampler.sample().query])
    for choice in ("finetune", "scratch"):
        losses = [
            mean_token_loss(adapted, support).item() for adapted in make_algorithm(choice).adapt(model, support, 4)
        ]
        assert losses == sorted(losses, reverse=True)
        assert len(set(losses)) == 5


def test_zero_shot_does_not_adapt(make_algorithm: Make, model: DialogModel, sampler: EpisodeSampler) -> None:
    [only] = make_algorithm("zero_shot").adapt(model, sampler.sample().support, 10)
    assert only is model


def test_scratch_learns_nothing_before_it_meets_the_topic(
    make_algorithm: Make, model: DialogModel, sampler: EpisodeSampler
) -> None:
    scratch = make_algorithm("scratch")
    assert not scratch.trains
    with pytest.raises(NotImplementedError, match="no outer loop"):
        scratch.outer_step(model, sampler.batch(1), 0)
