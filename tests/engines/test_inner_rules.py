"""The inner rules, compared with torch's optimizers, and their derivatives, with finite differences."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD, Optimizer
from torch.optim import Adam as TorchAdam

from metadialog.engines.auto import AutoEngine
from metadialog.engines.base import Engine, InnerLoop
from metadialog.engines.lean import LeanEngine
from metadialog.engines.learn2learn import Learn2LearnEngine
from metadialog.engines.vectorized import VectorizedEngine
from metadialog.episodes import Batch, Episode
from metadialog.errors import ConfigError
from metadialog.inner.adam import Adam
from metadialog.inner.base import InnerRule
from metadialog.inner.sgd import GradientDescent, Momentum
from metadialog.models.loss import mean_token_loss
from metadialog.models.rnn import DialogModel

MakeModel = Callable[..., DialogModel]
COMMON: dict[str, object] = {"adapted": None, "frozen": [], "clip_norm": None, "weight_decay": 0.0, "chunk": None}
RATE, STEPS = 0.05, 4


def sgd(**options: object) -> InnerRule:
    return GradientDescent(**{**COMMON, **options})  # type: ignore[arg-type]


def momentum(*, nesterov: bool = False, **options: object) -> InnerRule:
    return Momentum(momentum=0.8, nesterov=nesterov, **{**COMMON, **options})  # type: ignore[arg-type]


def adam(**options: object) -> InnerRule:
    return Adam(betas=[0.9, 0.99], eps=1e-12, **{**COMMON, **options})  # type: ignore[arg-type]


RULES: dict[str, InnerRule] = {
    "sgd": sgd(),
    "clipped": sgd(clip_norm=0.3),
    "drawn back": sgd(weight_decay=0.4),
    "in chunks": sgd(chunk=1),
    "momentum": momentum(),
    "nesterov": momentum(nesterov=True),
    "adam": adam(),
    "adam, all options": adam(clip_norm=0.5, weight_decay=0.3, chunk=1),
}


def support_of(episode: Episode) -> Batch:
    assert episode.support is not None
    return episode.support


def adapt(model: nn.Module, support: Batch, rule: InnerRule) -> dict[str, Tensor]:
    *_, last = Learn2LearnEngine().adapt(model, mean_token_loss, support, InnerLoop(RATE, STEPS, rule=rule))
    return dict(last.named_parameters())


@pytest.mark.parametrize(
    ("rule", "make_optimizer", "clip_norm"),
    [
        (sgd(), lambda p: SGD(p, RATE), None),
        (sgd(clip_norm=0.3), lambda p: SGD(p, RATE), 0.3),
        (momentum(), lambda p: SGD(p, RATE, momentum=0.8), None),
        (momentum(nesterov=True), lambda p: SGD(p, RATE, momentum=0.8, nesterov=True), None),
        (adam(), lambda p: TorchAdam(p, RATE, betas=(0.9, 0.99), eps=1e-12), None),
    ],
    ids=["sgd", "clipped", "momentum", "nesterov", "adam"],
)
def test_adaptation_is_torchs_own_optimizer(
    make_model: MakeModel,
    episodes: list[Episode],
    rule: InnerRule,
    make_optimizer: Callable[..., Optimizer],
    clip_norm: float | None,
) -> None:
    found = adapt(make_model(), support_of(episodes[0]), rule)
    by_torch = make_model()
    optimizer = make_optimizer(by_torch.parameters())
    for _ in range(STEPS):
        optimizer.zero_grad()
        mean_token_loss(by_torch, support_of(episodes[0])).backward()  # type: ignore[no-untyped-call]
        if clip_norm is not None:
            assert clip_grad_norm_(by_torch.parameters(), clip_norm) > clip_norm
        optimizer.step()
    for name, parameter in by_torch.named_parameters():
        torch.testing.assert_close(found[name], parameter, rtol=1e-5, atol=1e-9)


def test_weight_decay_draws_back_to_the_start(make_model: MakeModel, episodes: list[Episode]) -> None:
    model, support = make_model(), support_of(episodes[0])
    found = adapt(model, support, sgd(weight_decay=0.4))
    start = {name: value.detach().clone() for name, value in model.named_parameters()}
    by_hand = make_model()
    for _ in range(STEPS):
        drawn = sum(((p - start[name]) ** 2).sum() for name, p in by_hand.named_parameters())
        loss = mean_token_loss(by_hand, support) + 0.2 * drawn
        gradients = torch.autograd.grad(loss, list(by_hand.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(by_hand.parameters(), gradients, strict=True):
                parameter.sub_(RATE * gradient)
    for name, parameter in by_hand.named_parameters():
        torch.testing.assert_close(found[name], parameter)


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_chunks_are_the_whole_support_set(make_model: MakeModel, episodes: list[Episode], chunk: int) -> None:
    support = support_of(episodes[0])
    assert len(support.inputs) > 1
    whole, parts = (adapt(make_model(), support, rule) for rule in (sgd(), sgd(chunk=chunk)))
    for name, parameter in whole.items():
        torch.testing.assert_close(parts[name], parameter)


@pytest.mark.parametrize("name", RULES)
def test_the_meta_gradient_goes_through_every_rule(make_model: MakeModel, episodes: list[Episode], name: str) -> None:
    model = make_model()
    inner = InnerLoop(RATE, 2, rule=RULES[name])

    def loss() -> float:
        return AutoEngine(memory=1024).meta_gradient(model, mean_token_loss, episodes, inner, "mean").loss.item()

    result = AutoEngine(memory=1024).meta_gradient(model, mean_token_loss, episodes, inner, "mean")
    torch.manual_seed(2)
    direction = [torch.randn_like(parameter) for parameter in model.parameters()]
    losses = []
    for sign in (1, -1):
        with torch.no_grad():
            for parameter, towards in zip(model.parameters(), direction, strict=True):
                parameter.add_(sign * 1e-6 * towards)
        losses.append(loss())
        with torch.no_grad():
            for parameter, towards in zip(model.parameters(), direction, strict=True):
                parameter.sub_(sign * 1e-6 * towards)
    slope = sum((g * d).sum().item() for g, d in zip(result.gradients, direction, strict=True))
    assert (losses[0] - losses[1]) / 2e-6 == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize("name", [name for name in RULES if name != "sgd"])
def test_engines_that_do_not_know_a_rule_say_so(make_model: MakeModel, episodes: list[Episode], name: str) -> None:
    inner = InnerLoop(RATE, 2, rule=RULES[name])
    with pytest.raises(ConfigError, match=r"engine=vectorized.*an inner loop of .*engine=auto"):
        VectorizedEngine().meta_gradient(make_model(), mean_token_loss, episodes, inner, "mean")


@pytest.mark.parametrize("engine", [VectorizedEngine(), LeanEngine(memory=1)], ids=["vectorized", "lean"])
def test_a_rule_is_refused_before_anything_starts(make_model: MakeModel, engine: Engine) -> None:
    def check(rule: InnerRule) -> None:
        engine.check(make_model().to("meta"), mean_token_loss, InnerLoop(RATE, 2, rule=rule))

    check(sgd())
    with pytest.raises(ConfigError, match=rf"engine={engine.name}: .* not an inner loop of Momentum; "):
        check(momentum())
    with pytest.raises(ConfigError, match=r"of GradientDescent with inner\.weight_decay, inner\.chunk; engine="):
        check(sgd(weight_decay=0.1, chunk=2))


def test_first_order_takes_the_gradients_as_constants(make_model: MakeModel, episodes: list[Episode]) -> None:
    model, inner = make_model(), InnerLoop(RATE, 3, first_order=True, rule=momentum())
    found = Learn2LearnEngine().meta_gradient(model, mean_token_loss, episodes[:1], inner, "mean")
    *_, adapted = Learn2LearnEngine().adapt(model, mean_token_loss, support_of(episodes[0]), replace(inner))
    expected = torch.autograd.grad(mean_token_loss(adapted, episodes[0].query), list(adapted.parameters()))
    for gradient, value in zip(found.gradients, expected, strict=True):
        torch.testing.assert_close(gradient, value)
