"""All engines compute the meta-gradient of the reference engine and of plain autograd."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from tests.engines.conftest import in_buckets
from torch import Tensor, nn

from metadialog.engines.auto import AutoEngine
from metadialog.engines.base import Engine, InnerLoop, MetaGradient
from metadialog.engines.lean import LeanEngine, plan
from metadialog.engines.learn2learn import Learn2LearnEngine
from metadialog.engines.stacked.memory import MIB, Footprint, footprint
from metadialog.engines.vectorized import VectorizedEngine, tasks_at_once
from metadialog.episodes import Batch, Episode
from metadialog.errors import ConfigError
from metadialog.models.loss import mean_token_loss
from metadialog.models.rnn import DialogModel

MakeModel = Callable[..., DialogModel]
TwoLevels = Callable[..., Tensor]

FAST: dict[str, Engine] = {
    "vectorized": VectorizedEngine(),
    "lean, one task, no weights kept": LeanEngine(memory=1e-6),
    "lean, some weights kept": LeanEngine(memory=0.02),
    "lean, all at once": LeanEngine(memory=1024),
}


@pytest.fixture(params=FAST)
def fast(request: pytest.FixtureRequest) -> Engine:
    """Each engine with its own derivatives."""
    return FAST[request.param]


def with_seed(engine: Engine, model: nn.Module, episodes: Sequence[Episode], inner: InnerLoop) -> MetaGradient:
    torch.manual_seed(5)  # the dropout masks
    return engine.meta_gradient(model, mean_token_loss, episodes, inner, "mean")


def relative_error(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Return the largest relative error of any parameter's gradient, so that small gradients count as well."""
    errors = []
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert a.isfinite().all()
        errors.append(float((a - b).norm() / b.norm().clamp_min(1e-12)))
    return max(errors)


def agree(found: MetaGradient, expected: MetaGradient, tolerance: float) -> None:
    assert relative_error(found.gradients, expected.gradients) < tolerance
    assert relative_error([found.loss], [expected.loss]) < tolerance
    assert relative_error([found.support_losses], [expected.support_losses]) < tolerance
    assert relative_error([found.query_losses], [expected.query_losses]) < tolerance
    for found_rates, expected_rates in zip(found.rate_gradients, expected.rate_gradients, strict=True):
        assert found_rates.keys() == expected_rates.keys()
        for name, gradient in expected_rates.items():
            assert relative_error([found_rates[name]], [gradient]) < tolerance


@pytest.mark.parametrize("first_order", [False, True], ids=["second order", "first order"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    "options",
    [{}, {"layers": 2, "dropout": 0.4}, {"tied": True, "dropout": 0.2}],
    ids=["plain", "two layers and dropout", "tied and dropout"],
)
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_it_equals_the_reference(
    make_model: MakeModel,
    episodes: list[Episode],
    fast: Engine,
    cell: str,
    options: dict[str, float],
    steps: int,
    *,
    first_order: bool,
) -> None:
    model, inner = make_model(cell, **options).train(), InnerLoop(0.5, steps, first_order)
    expected = with_seed(Learn2LearnEngine(), model, episodes, inner)
    agree(with_seed(fast, model, episodes, inner), expected, 1e-10)


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_it_equals_the_reference_in_single_precision(
    make_model: MakeModel, episodes: list[Episode], fast: Engine, cell: str, steps: int
) -> None:
    model, inner = make_model(cell, dropout=0.2).float().train(), InnerLoop(0.5, steps)
    expected = with_seed(Learn2LearnEngine(), model, episodes, inner)
    agree(with_seed(fast, model, episodes, inner), expected, 1e-5)


def on_gpu(episodes: Sequence[Episode]) -> list[Episode]:
    return [episode.to(torch.device("cuda")) for episode in episodes]


@pytest.mark.cuda
@pytest.mark.parametrize("first_order", [False, True], ids=["second order", "first order"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["double", "single"])
@pytest.mark.parametrize(
    "options", [{}, {"layers": 2, "dropout": 0.4}, {"tied": True, "dropout": 0.2}], ids=["plain", "deep", "tied"]
)
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_it_equals_the_reference_on_a_gpu(
    make_model: MakeModel,
    episodes: list[Episode],
    fast: Engine,
    cell: str,
    options: dict[str, float],
    dtype: torch.dtype,
    *,
    first_order: bool,
) -> None:
    model, inner = make_model(cell, **options).to("cuda", dtype).train(), InnerLoop(0.5, 3, first_order)
    there = on_gpu(episodes)
    expected = with_seed(Learn2LearnEngine(), model, there, inner)
    agree(with_seed(fast, model, there, inner), expected, 1e-10 if dtype == torch.float64 else 1e-5)


@pytest.mark.cuda
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_gpu_computes_what_a_cpu_does(make_model: MakeModel, episodes: list[Episode], cell: str) -> None:
    model, inner = make_model(cell, layers=2), InnerLoop(0.5, 3)
    expected = with_seed(Learn2LearnEngine(), model, episodes, inner)
    there = on_gpu(episodes)
    for engine in ENGINES.values():
        found = with_seed(engine, model.cuda(), there, inner)
        assert relative_error([gradient.cpu() for gradient in found.gradients], expected.gradients) < 1e-10


def head(model: nn.Module) -> frozenset[str]:
    return frozenset(name for name, _ in model.named_parameters() if name.startswith("linear"))


def body(model: nn.Module) -> frozenset[str]:
    return frozenset(name for name, _ in model.named_parameters()) - head(model)


def rates_of(model: nn.Module, inner: InnerLoop, count: int) -> tuple[dict[str, Tensor], ...]:
    """Rates of every shape for some steps: for each weight, for each row, and for a whole parameter."""
    torch.manual_seed(1)
    steps = []
    for step in range(count):
        found = {}
        for place, (name, parameter) in enumerate(model.named_parameters(), start=step):
            if inner.adapts(name):
                shapes = (parameter.shape, (*parameter.shape[:1], *(1 for _ in parameter.shape[1:])), ())
                found[name] = torch.rand(shapes[place % 3], dtype=torch.float64).requires_grad_()
        steps.append(found)
    return tuple(steps)


ENGINES = {"learn2learn": Learn2LearnEngine(), **FAST}


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("first_order", [False, True], ids=["second order", "first order"])
@pytest.mark.parametrize("part", [None, head, body], ids=["all", "head", "body"])
@pytest.mark.parametrize("rated", [0, 1, 2], ids=["one rate", "rates", "rates of two steps"])
@pytest.mark.parametrize("weights", [None, (0.4, 0.0, 0.1, 0.5)], ids=["last loss", "losses of some steps"])
def test_inner_loops_of_all_kinds_equal_plain_autograd(
    make_model: MakeModel,
    two_levels: TwoLevels,
    episodes: list[Episode],
    name: str,
    part: Callable[[nn.Module], frozenset[str]] | None,
    rated: int,
    weights: tuple[float, ...] | None,
    *,
    first_order: bool,
) -> None:
    model = make_model("gru", layers=2)
    inner = InnerLoop(0.5, 3, first_order, None if part is None else part(model), query_weights=weights)
    inner = replace(inner, rates=rates_of(model, inner, rated) or None)
    rates = [rate for of_step in inner.rates or () for rate in of_step.values()]
    parameters = {n: value.detach().clone().requires_grad_() for n, value in model.named_parameters()}
    outer = two_levels(model, parameters, episodes, inner, "mean")
    expected = torch.autograd.grad(outer, [*parameters.values(), *rates])
    found = with_seed(ENGINES[name], model, episodes, inner)
    by_rates = [gradient for of_step in found.rate_gradients for gradient in of_step.values()]
    assert relative_error([*found.gradients, *by_rates], expected) < 1e-10
    assert found.loss.item() == pytest.approx(outer.item(), rel=1e-12)


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_multi_step_losses_drop_the_same_units(
    make_model: MakeModel, episodes: list[Episode], fast: Engine, cell: str, steps: int
) -> None:
    model = make_model(cell, layers=2, dropout=0.3).train()
    inner = InnerLoop(0.5, steps, query_weights=tuple(0.1 * (step + 1) for step in range(steps + 1)))
    inner = replace(inner, rates=rates_of(model, inner, steps))
    agree(with_seed(fast, model, episodes, inner), with_seed(Learn2LearnEngine(), model, episodes, inner), 1e-10)


@pytest.mark.parametrize("weights", [(1.0,), (0.5, 0.5), (0.0, 0.5, 0.5, 0.0)])
def test_query_weights_have_to_fit_the_steps(weights: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"one for 0, 1, \.\.\., 3 steps, and the last not zero"):
        InnerLoop(0.5, 3, query_weights=weights)


def test_rates_that_are_all_alike_are_one_rate(make_model: MakeModel, episodes: list[Episode], fast: Engine) -> None:
    model = make_model("lstm")
    rates = {name: torch.full_like(p, 0.5) for name, p in model.named_parameters()}
    one = with_seed(fast, model, episodes, InnerLoop(0.5, 3))
    many = with_seed(fast, model, episodes, InnerLoop(0.1, 3, rates=(rates,)))
    assert relative_error(many.gradients, one.gradients) < 1e-12


def test_adapting_a_part_is_another_gradient(make_model: MakeModel, episodes: list[Episode], fast: Engine) -> None:
    model = make_model()
    all_of_it = with_seed(fast, model, episodes, InnerLoop(0.5, 3))
    a_part = with_seed(fast, model, episodes, InnerLoop(0.5, 3, adapted=head(model)))
    assert relative_error(a_part.gradients, all_of_it.gradients) > 0.01


def test_the_order_of_tasks_does_not_matter(make_model: MakeModel, episodes: list[Episode], fast: Engine) -> None:
    model, inner = make_model(), InnerLoop(0.5, 2)
    forward = with_seed(fast, model, episodes, inner)
    backward = with_seed(fast, model, episodes[::-1], inner)
    assert relative_error(backward.gradients, forward.gradients) < 1e-12
    torch.testing.assert_close(backward.query_losses.flip(0), forward.query_losses)


def longer(episode: Episode) -> Episode:
    """Pad an episode's sets with tokens that do not count in the loss."""

    def padded(batch: Batch) -> Batch:
        pad = torch.nn.functional.pad
        return replace(
            batch, inputs=pad(batch.inputs, (0, 3)), targets=pad(batch.targets, (0, 3)), mask=pad(batch.mask, (0, 3))
        )

    assert episode.support is not None
    return replace(episode, support=padded(episode.support), query=padded(episode.query))


def test_padding_changes_nothing(make_model: MakeModel, episodes: list[Episode], fast: Engine) -> None:
    model, inner = make_model(), InnerLoop(0.5, 3)
    plain = with_seed(fast, model, episodes, inner)
    padded = with_seed(fast, model, [longer(episodes[0]), episodes[1]], inner)
    assert relative_error(padded.gradients, plain.gradients) < 1e-12


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_buckets_drop_the_units_that_the_reference_drops(
    make_model: MakeModel, episodes: list[Episode], fast: Engine, cell: str
) -> None:
    model, inner = make_model(cell, layers=2, dropout=0.4).train(), InnerLoop(0.5, 3)
    divided = [replace(e, support=in_buckets(e.support), query=in_buckets(e.query)) for e in episodes if e.support]
    assert len(divided) == len(episodes)
    sets = [batch for e in divided for batch in (e.support, e.query) if batch is not None]
    assert any(bucket.inputs.shape[1] < batch.inputs.shape[1] for batch in sets for bucket in batch.buckets)
    expected = with_seed(Learn2LearnEngine(), model, divided, inner)
    agree(with_seed(fast, model, divided, inner), expected, 1e-10)


def test_very_unlikely_targets_keep_the_loss_finite(
    make_model: MakeModel, episodes: list[Episode], fast: Engine
) -> None:
    model = make_model().float()
    with torch.no_grad():
        model.linear.bias[:] = torch.linspace(0, 2000, len(model.linear.bias))
    inner = InnerLoop(1e-3, 1)
    expected = with_seed(Learn2LearnEngine(), model, episodes, inner)
    found = with_seed(fast, model, episodes, inner)
    assert relative_error([found.query_losses], [expected.query_losses]) < 1e-5


class OtherModel(DialogModel):
    """A model for which the engines have no derivatives of their own."""

    def forward(self, tokens: Tensor, hidden: object = None) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        logits, state = super().forward(tokens, hidden)  # type: ignore[arg-type]
        assert isinstance(state, Tensor)
        return 2 * logits, state


def other_model() -> OtherModel:
    torch.manual_seed(3)
    return OtherModel(
        11, cell="gru", embedding_size=2, hidden_size=3, layers=1, dropout=0.0, tied_embedding=False
    ).double()


def doubled(model: nn.Module, batch: Batch) -> Tensor:
    return 2 * mean_token_loss(model, batch)


def test_an_unknown_model_is_refused_by_name(episodes: list[Episode], fast: Engine) -> None:
    with pytest.raises(ConfigError, match=rf"engine={fast.name}.*not the model OtherModel.*engine=functional"):
        with_seed(fast, other_model(), episodes, InnerLoop(0.5, 1))


def test_an_unknown_objective_is_refused_by_name(make_model: MakeModel, episodes: list[Episode], fast: Engine) -> None:
    with pytest.raises(ConfigError, match=rf"engine={fast.name}.*objective doubled"):
        fast.meta_gradient(make_model(), doubled, episodes, InnerLoop(0.5, 1), "mean")


def test_auto_takes_the_functional_engine_for_what_the_others_do_not_know(episodes: list[Episode]) -> None:
    model, inner = other_model(), InnerLoop(0.5, 2)
    expected = with_seed(Learn2LearnEngine(), model, episodes, inner)
    agree(with_seed(AutoEngine(memory=1024), model, episodes, inner), expected, 1e-12)


@pytest.mark.parametrize(("vocab", "expected"), [(1000, 16), (100_000, 6), (10_000_000, 1)])
def test_vectorized_divides_the_tasks_of_large_models_evenly(vocab: int, expected: int) -> None:
    with torch.device("meta"):
        model = DialogModel(
            vocab, cell="gru", embedding_size=8, hidden_size=8, layers=1, dropout=0.0, tied_embedding=False
        )
    assert tasks_at_once(model, 16) == 16
    model.linear = nn.Linear(8, vocab)
    assert tasks_at_once(model, 16) == expected


def test_auto_says_what_it_picks_once(
    make_model: MakeModel, episodes: list[Episode], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    engine, model = AutoEngine(memory=1024), make_model()
    for _ in range(3):
        with_seed(engine, model, episodes, InnerLoop(0.5, 2))
    (said,) = [record.getMessage() for record in caplog.records]
    assert re.fullmatch(
        r"engine auto picks vectorized: vectorized about [\d.]+ ms, [\d.]+ MiB; lean about [\d.]+ ms, [\d.]+ MiB; "
        r"learn2learn about [\d.]+ ms, [\d.]+ MiB",
        said,
    )


def test_auto_goes_lean_where_memory_is_short(make_model: MakeModel, episodes: list[Episode]) -> None:
    model, inner = make_model(), InnerLoop(0.5, 5)
    needed = len(episodes) * footprint(model, episodes, inner).vectorized(inner) / MIB
    picks = [
        AutoEngine(memory=memory).pick(model, mean_token_loss, episodes, inner)[0]
        for memory in (1.01 * needed, 0.99 * needed)
    ]
    assert picks == ["vectorized", "lean"]


@pytest.mark.parametrize(("budget", "expected"), [(10_000, (9, 8)), (1_100, (1, 8)), (600, (1, 2)), (1, (1, 0))])
def test_lean_plans_within_its_budget(budget: int, expected: tuple[int, int]) -> None:
    of_task = Footprint(tape=0, weights=90)
    inner = InnerLoop(0.5, 10)
    assert plan(of_task, inner, budget) == expected


def test_plans_grow_with_the_budget(make_model: MakeModel, episodes: list[Episode]) -> None:
    model, inner = make_model(), InnerLoop(0.5, 5)
    of_task = footprint(model, episodes, inner)
    plans = [plan(of_task, inner, budget) for budget in range(0, 40_000, 500)]
    assert plans == sorted(plans)
