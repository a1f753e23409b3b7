"""The meta-gradient, compared with finite differences, plain autograd, and its definitions."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

import pytest
import torch
from torch import Tensor, nn

from metadialog.engines.base import Engine, InnerLoop, MetaGradient, Reduction
from metadialog.engines.learn2learn import Learn2LearnEngine
from metadialog.episodes import Batch, Episode
from metadialog.models.loss import mean_token_loss
from metadialog.models.rnn import DialogModel

MakeModel = Callable[..., DialogModel]
TwoLevels = Callable[..., Tensor]

SEED = 5
STEP = 1e-5


class Compute(Protocol):
    """A function that computes a meta-gradient with one of the engines."""

    def __call__(
        self, model: nn.Module, episodes: Sequence[Episode], inner: InnerLoop, reduction: Reduction = "mean"
    ) -> MetaGradient: ...


def compute(
    engine: Engine, model: nn.Module, episodes: Sequence[Episode], inner: InnerLoop, reduction: Reduction = "mean"
) -> MetaGradient:
    torch.manual_seed(SEED)  # the dropout masks
    return engine.meta_gradient(model, mean_token_loss, episodes, inner, reduction)


@pytest.fixture
def meta_gradient(engine: Engine) -> Compute:
    return partial(compute, engine)


def flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def directions(model: nn.Module) -> list[dict[str, Tensor]]:
    """Return random unit directions, each of one parameter alone, so that an error in any weight shows in some."""
    generator = torch.Generator().manual_seed(SEED)
    drawn = [
        (name, torch.randn(value.shape, generator=generator, dtype=value.dtype))
        for name, value in model.named_parameters()
        for _ in range(2)
    ]
    return [{name: along / along.norm()} for name, along in drawn]


def finite_differences(
    two_levels: TwoLevels, model: nn.Module, episodes: Sequence[Episode], inner: InnerLoop
) -> Tensor:
    """Differentiate the whole two-level objective, mean over tasks, along `directions` by central differences."""
    start = {name: value.detach() for name, value in model.named_parameters()}

    def at(direction: dict[str, Tensor], offset: float) -> float:
        moved = start | {name: start[name] + offset * along for name, along in direction.items()}
        parameters = {name: value.clone().requires_grad_() for name, value in moved.items()}
        torch.manual_seed(SEED)
        # The inner gradients are needed, but not their graph.
        return two_levels(model, parameters, episodes, replace(inner, first_order=True), "mean").item()

    found = [(at(along, STEP) - at(along, -STEP)) / (2 * STEP) for along in directions(model)]
    return torch.tensor(found, dtype=torch.float64)


def along_directions(model: nn.Module, gradients: Sequence[Tensor]) -> Tensor:
    """Return the derivatives that gradients give along `directions`."""
    by_name = dict(zip(dict(model.named_parameters()), gradients, strict=True))
    return torch.stack([(by_name[name] * along).sum() for one in directions(model) for name, along in one.items()])


def autograd(
    two_levels: TwoLevels, model: nn.Module, episodes: Sequence[Episode], inner: InnerLoop, reduction: Reduction
) -> Tensor:
    parameters = {name: value.detach().clone().requires_grad_() for name, value in model.named_parameters()}
    torch.manual_seed(SEED)
    outer = two_levels(model, parameters, episodes, inner, reduction)
    return flat(torch.autograd.grad(outer, list(parameters.values())))


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_it_equals_finite_differences(
    engines: dict[str, Engine],
    make_model: MakeModel,
    two_levels: TwoLevels,
    episodes: list[Episode],
    cell: str,
    steps: int,
) -> None:
    model, inner = make_model(cell), InnerLoop(lr=0.5, steps=steps)
    mean = finite_differences(two_levels, model, episodes, inner)
    expected: dict[Reduction, Tensor] = {"mean": mean, "sum": len(episodes) * mean}
    for engine in engines.values():
        for reduction, value in expected.items():
            result = compute(engine, model, episodes, inner, reduction)
            assert relative_error(along_directions(model, result.gradients), value) < 1e-6, (engine.name, reduction)


@pytest.mark.parametrize(
    "options", [{"tied": True}, {"layers": 2, "dropout": 0.4}], ids=["tied", "two layers and dropout"]
)
def test_it_equals_finite_differences_for_other_models(
    engines: dict[str, Engine],
    make_model: MakeModel,
    two_levels: TwoLevels,
    episodes: list[Episode],
    options: dict[str, float],
) -> None:
    model, inner = make_model("gru", **options).train(), InnerLoop(lr=0.5, steps=2)
    expected = finite_differences(two_levels, model, episodes, inner)
    for engine in engines.values():
        result = compute(engine, model, episodes, inner)
        assert relative_error(along_directions(model, result.gradients), expected) < 1e-6, engine.name


def test_dropout_is_really_on(meta_gradient: Compute, make_model: MakeModel, episodes: list[Episode]) -> None:
    model, inner = make_model(layers=2, dropout=0.4), InnerLoop(lr=0.5, steps=2)
    with_masks = meta_gradient(model.train(), episodes, inner)
    without = meta_gradient(model.eval(), episodes, inner)
    assert relative_error(flat(with_masks.gradients), flat(without.gradients)) > 0.01


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_it_equals_plain_autograd(
    meta_gradient: Compute,
    make_model: MakeModel,
    two_levels: TwoLevels,
    episodes: list[Episode],
    cell: str,
    steps: int,
    *,
    first_order: bool,
) -> None:
    model, inner = make_model(cell), InnerLoop(0.5, steps, first_order)
    result = meta_gradient(model, episodes, inner)
    assert relative_error(flat(result.gradients), autograd(two_levels, model, episodes, inner, "mean")) < 1e-10


def test_first_order_is_the_query_gradient_at_the_adapted_parameters(
    meta_gradient: Compute, make_model: MakeModel, episodes: list[Episode]
) -> None:
    model, inner = make_model(), InnerLoop(0.5, 3, first_order=True)
    expected = torch.zeros(sum(p.numel() for p in model.parameters()), dtype=torch.float64)
    for episode in episodes:
        assert episode.support is not None
        *_, adapted = Learn2LearnEngine().adapt(model, mean_token_loss, episode.support, inner)
        loss = mean_token_loss(adapted, episode.query)
        expected += flat(torch.autograd.grad(loss, list(adapted.parameters()))) / len(episodes)
    assert relative_error(flat(meta_gradient(model, episodes, inner).gradients), expected) < 1e-10


def test_first_and_second_order_differ(meta_gradient: Compute, make_model: MakeModel, episodes: list[Episode]) -> None:
    model = make_model()
    exact, first = (meta_gradient(model, episodes, InnerLoop(0.5, 3, order)) for order in (False, True))
    assert relative_error(flat(first.gradients), flat(exact.gradients)) > 0.01
    assert torch.equal(first.loss, exact.loss)


def test_the_losses_are_those_of_the_two_levels(
    meta_gradient: Compute, make_model: MakeModel, two_levels: TwoLevels, episodes: list[Episode]
) -> None:
    model, inner = make_model(), InnerLoop(0.5, 3)
    parameters = dict(model.named_parameters())
    for reduction in ("mean", "sum"):
        result = meta_gradient(model, episodes, inner, reduction)
        assert result.loss.item() == pytest.approx(two_levels(model, parameters, episodes, inner, reduction).item())
    for place, episode in enumerate(episodes):
        assert episode.support is not None
        assert result.support_losses[place].item() == pytest.approx(mean_token_loss(model, episode.support).item())
        alone = two_levels(model, parameters, [episode], inner, "sum").item()
        assert result.query_losses[place].item() == pytest.approx(alone)


def test_no_steps_is_the_plain_gradient(meta_gradient: Compute, make_model: MakeModel, episodes: list[Episode]) -> None:
    model = make_model()
    loss = torch.stack([mean_token_loss(model, episode.query) for episode in episodes]).mean()
    expected = flat(torch.autograd.grad(loss, list(model.parameters())))
    assert relative_error(flat(meta_gradient(model, episodes, InnerLoop(0.5, 0)).gradients), expected) < 1e-10


def test_the_model_stays_as_it_was(meta_gradient: Compute, make_model: MakeModel, episodes: list[Episode]) -> None:
    model = make_model(dropout=0.2).train()
    model.embed.weight.grad = torch.ones_like(model.embed.weight)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    meta_gradient(model, episodes, InnerLoop(0.5, 2))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(model.embed.weight.grad, torch.ones_like(model.embed.weight))
    assert model.linear.weight.grad is None
    assert model.training


def test_frozen_parameters_have_no_part(
    meta_gradient: Compute, make_model: MakeModel, two_levels: TwoLevels, episodes: list[Episode]
) -> None:
    model, inner = make_model(), InnerLoop(0.5, 3)
    model.embed.weight.requires_grad_(False)
    model.rnn.bias_hh_l0.requires_grad_(False)
    result = meta_gradient(model, episodes, inner)
    trainable = [p for p in model.parameters() if p.requires_grad]
    assert [g.shape for g in result.gradients] == [p.shape for p in trainable]
    outer = two_levels(model, dict(model.named_parameters()), episodes, inner, "mean")
    assert relative_error(flat(result.gradients), flat(torch.autograd.grad(outer, trainable))) < 1e-10


def test_unused_parameters_get_a_gradient_of_zero(
    meta_gradient: Compute, make_model: MakeModel, episodes: list[Episode]
) -> None:
    model = make_model()
    expected = meta_gradient(model, episodes, InnerLoop(0.5, 2))
    model.idle = nn.Linear(2, 2).double()
    result = meta_gradient(model, episodes, InnerLoop(0.5, 2))
    assert [gradient.abs().sum().item() for gradient in result.gradients[-2:]] == [0.0, 0.0]
    assert torch.equal(flat(result.gradients[:-2]), flat(expected.gradients))


def test_an_episode_without_support_is_refused(
    meta_gradient: Compute, make_model: MakeModel, episodes: list[Episode]
) -> None:
    with pytest.raises(ValueError, match=f"topic '{episodes[0].topic}' has no support set"):
        meta_gradient(make_model(), [replace(episodes[0], support=None)], InnerLoop(0.5, 1))


def test_only_torchs_own_warning_is_silenced(make_model: MakeModel, episodes: list[Episode]) -> None:
    def objective(model: nn.Module, batch: Batch) -> Tensor:
        warnings.warn("mine", stacklevel=1)
        return mean_token_loss(model, batch)

    with pytest.warns(UserWarning, match="mine") as caught:
        Learn2LearnEngine().meta_gradient(make_model(), objective, episodes, InnerLoop(0.5, 1), "mean")
    assert {str(warning.message) for warning in caught} == {"mine"}
