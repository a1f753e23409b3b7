"""A warm start is joint training, followed by the algorithm from its first step."""

from collections.abc import Callable

import pytest
import torch

from metadialog.algorithms.base import Algorithm
from metadialog.algorithms.warm import WarmStarted
from metadialog.models.rnn import DialogModel
from metadialog.samplers.episodes import EpisodeSampler

Make = Callable[..., Algorithm]
JOINT = 3
OPTIONS = {"inner_lr": 0.4, "inner_steps": 2, "multi_step_until": 4, "first_order_until": 2}


@pytest.mark.parametrize("step", [0, 2, 3, 4, 5, 6, 7])
def test_the_algorithm_counts_from_where_it_takes_over(
    make_algorithm: Make, model: DialogModel, sampler: EpisodeSampler, step: int
) -> None:
    """MAML++ depends on the step number, so another step has another gradient and cost."""
    model.double()
    episodes = sampler.batch(2)
    warm = WarmStarted(make_algorithm("maml_plus_plus", **OPTIONS), JOINT)
    warm.prepare(model)
    found = warm.outer_step(model, episodes, step)
    gradients = [parameter.grad for parameter in model.parameters()]
    if step < JOINT:
        expected, of = make_algorithm("zero_shot"), step
    else:
        expected, of = make_algorithm("maml_plus_plus", **OPTIONS), step - JOINT
    expected.prepare(model)
    model.zero_grad()
    assert found.loss == pytest.approx(expected.outer_step(model, episodes, of).loss, rel=1e-10)
    for gradient, parameter in zip(gradients, model.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-9, atol=1e-12)
    assert warm.passes(step) == expected.passes(of)
