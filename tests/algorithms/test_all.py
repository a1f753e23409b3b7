"""Properties of every algorithm in `conf/algorithm`, so that a new yaml is tested automatically."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from metadialog.algorithms.base import Algorithm
from metadialog.models.loss import mean_token_loss
from metadialog.models.rnn import DialogModel
from metadialog.samplers.episodes import EpisodeSampler
from metadialog.training.unsaved_state import UnsavedState

Make = Callable[..., Algorithm]


def test_it_is_called_as_its_file(make_algorithm: Make, choice: str) -> None:
    assert make_algorithm(choice).name == choice


def test_it_comes_from_the_model_that_was_learned(
    make_algorithm: Make, model: DialogModel, sampler: EpisodeSampler, choice: str
) -> None:
    algorithm = make_algorithm(choice)
    prepared = algorithm.prepare(model)
    before = {name: value.clone() for name, value in prepared.state_dict().items()}
    adapted = algorithm.adapt(prepared, sampler.sample().support, 3)
    first = next(adapted)
    assert all(torch.equal(value, before[name]) for name, value in first.state_dict().items())
    steps = {"zero_shot": 0, "retrieval": 0, "in_context": 1, "meta_in_context": 1}
    assert len(list(adapted)) == steps.get(choice, 3)
    assert all(torch.equal(value, before[name]) for name, value in prepared.state_dict().items())


def test_without_support_step_0_is_all(make_algorithm: Make, model: DialogModel, choice: str) -> None:
    algorithm = make_algorithm(choice)
    assert len(list(algorithm.adapt(algorithm.prepare(model), None, 5))) == 1


def test_what_comes_before_adaptation_is_the_model_itself(
    make_algorithm: Make, model: DialogModel, sampler: EpisodeSampler, choice: str
) -> None:
    if choice == "meta_prompt_tuning":  # whose learned prefix is part of the model
        return
    query = sampler.sample().query
    expected = mean_token_loss(model, query).item()
    algorithm = make_algorithm(choice)
    assert mean_token_loss(algorithm.prepare(model), query).item() == pytest.approx(expected)


def test_an_outer_step_gives_every_parameter_a_finite_gradient(
    make_algorithm: Make, model: DialogModel, sampler: EpisodeSampler, choice: str
) -> None:
    algorithm = make_algorithm(choice)
    if not algorithm.trains:
        return
    prepared = algorithm.prepare(model)
    algorithm.outer_step(prepared, sampler.batch(2), 0)
    for name, parameter in (*prepared.named_parameters(), *algorithm.learned.named_parameters()):
        if name == "embed.context":  # starts at zero in each task, and is not learned
            assert parameter.grad is None
            continue
        if not parameter.requires_grad:  # frozen by the algorithm
            assert choice == "low_rank_reptile"
            continue
        assert parameter.grad is not None, name
        if name in ("hidden.weight", "hidden.bias"):  # their output is multiplied by zero until the first step
            continue
        if name.endswith(".down") and choice in ("low_rank_finetune", "low_rank_in_context"):
            continue  # has no gradient in joint training until the other factor is no longer zero
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_outer_steps_lower_the_outer_loss_on_the_same_tasks(
    make_algorithm: Make, model: DialogModel, sampler: EpisodeSampler, choice: str
) -> None:
    algorithm, episodes = make_algorithm(choice, engine="auto"), sampler.batch(2)
    prepared = algorithm.prepare(model)
    if not algorithm.trains:
        return
    optimizer = torch.optim.Adam([*prepared.parameters(), *algorithm.learned.parameters()], 0.01)
    losses, unsaved = [], UnsavedState(algorithm)
    for step in range(12):
        torch.manual_seed(0)
        losses.append(algorithm.outer_step(prepared, episodes, step).loss)
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < losses[0] - 0.1
    unsaved.check()  # a checkpoint contains everything that training has changed


@pytest.mark.cuda
@pytest.mark.parametrize("kind", ["gru", "seq2seq", "hred"])
def test_a_gpu_computes_the_same(
    make_algorithm: Make, make_model: Callable[[str], nn.Module], sampler: EpisodeSampler, choice: str, kind: str
) -> None:
    drawn = sampler.batch(2)

    def computed(device: str) -> dict[str, Tensor]:
        """Return the gradients of an outer step, and the first task's model after two inner steps."""
        algorithm, episodes = make_algorithm(choice), [episode.to(torch.device(device)) for episode in drawn]
        model = algorithm.prepare(make_model(kind)).to(device, torch.float64)
        algorithm.learned.to(device, torch.float64)
        if algorithm.trains:
            algorithm.outer_step(model, episodes, 0)
        learned = [*model.named_parameters(), *algorithm.learned.named_parameters(prefix="learned")]
        found = {f"gradient of {name}": p.grad for name, p in learned if p.grad is not None}
        *_, adapted = algorithm.adapt(model, episodes[0].support, 2)
        return found | {name: value.detach().clone() for name, value in adapted.named_parameters()}

    found, expected = computed("cuda"), computed("cpu")
    assert all(value.is_cuda for value in found.values())
    torch.testing.assert_close({name: value.cpu() for name, value in found.items()}, expected, rtol=1e-9, atol=1e-11)
