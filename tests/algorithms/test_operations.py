"""The calculated operations of every algorithm, compared with a count of all products in real outer steps."""

from collections.abc import Callable

import pytest
import torch

from metadialog.algorithms.base import Algorithm
from metadialog.episodes import Episode
from metadialog.models.rnn import DialogModel
from metadialog.operations import OperationCounter
from metadialog.samplers.episodes import EpisodeSampler
from metadialog.training.cost import (
    TrainingMeter,
    count_sets,
    count_weights,
    expected_flops,
    goes_elsewhere,
    is_counted,
)

Make = Callable[..., Algorithm]
STEPS = 7


def counted(algorithm: Algorithm, model: torch.nn.Module, episodes: list[Episode], step: int) -> int:
    return executed(algorithm, model, episodes, step)[0]


def executed(
    algorithm: Algorithm, model: torch.nn.Module, episodes: list[Episode], step: int
) -> tuple[int, tuple[int, int]]:
    """Take an outer step; return its operations, and the number of tokens in its passes."""
    with OperationCounter() as counter:
        result = algorithm.outer_step(model, episodes, step)
    return int(counter.total), result.tokens or count_sets(episodes)


def test_the_account_is_what_is_executed(
    make_algorithm: Make, model: DialogModel, sampler: EpisodeSampler, choice: str
) -> None:
    """The operations of all steps are within a few percent, though only some steps are counted."""
    algorithm = make_algorithm(choice, engine="auto")
    if not algorithm.trains:
        return
    prepared = algorithm.prepare(model)
    cost, weights, total, between = TrainingMeter(), count_weights(prepared), 0, 0
    for step in range(STEPS):
        episodes = sampler.batch(2)
        operations, tokens = executed(algorithm, prepared, episodes, step)
        total += operations
        between += not is_counted(algorithm, step)
        expected = expected_flops(weights, tokens, algorithm.passes(step))
        known = operations if is_counted(algorithm, step) else None
        cost.add_flops(expected, expected, known, restart=goes_elsewhere(algorithm, step))
    assert between > STEPS / 2
    assert cost.flops == pytest.approx(total, rel=0.15)


def test_joint_training_computes_no_logits_that_do_not_count(
    make_algorithm: Make, model: DialogModel, sampler: EpisodeSampler
) -> None:
    episodes = sampler.batch(3)
    sets = [batch for episode in episodes for batch in (episode.support, episode.query) if batch is not None]
    tokens = sum(int(batch.mask.sum()) for batch in sets)
    places = sum(len(batch.inputs) for batch in sets) * max(batch.inputs.shape[1] for batch in sets)
    assert tokens < places / 2  # the loss is on the response only
    output = model.linear.weight.numel()
    inputs, recurrent = (model.get_parameter(f"rnn.weight_{kind}_l0").numel() for kind in ("ih", "hh"))
    least = 6 * (tokens * output + places * (inputs + recurrent))
    assert counted(make_algorithm("finetune"), model, episodes, 0) <= least
    assert (
        counted(make_algorithm("reptile", inner_steps=1, minibatch=None), model, episodes, 0) <= 1.7 * least
    )  # and two losses


def test_adapting_less_executes_less(make_algorithm: Make, model: DialogModel, sampler: EpisodeSampler) -> None:
    """ANIL and first-order MAML, by the executed operations rather than the declared passes."""
    episodes = sampler.batch(2)
    exact, head, first_order = (
        counted(make_algorithm(choice, engine="vectorized", inner_steps=3), model, episodes, 0)
        for choice in ("maml", "anil", "fomaml")
    )
    assert head < 0.8 * exact
    assert first_order < 0.6 * exact
