"""Every inner rule, compared step by step with PyTorch's optimizer of the same name."""

from collections.abc import Callable, Iterable

import pytest
import torch
from torch import Tensor
from torch.optim import SGD, Optimizer
from torch.optim import Adam as TorchAdam

from metadialog.config import check
from metadialog.errors import ConfigError
from metadialog.inner.adam import Adam
from metadialog.inner.base import InnerRule, Memory
from metadialog.inner.sgd import PLAIN, GradientDescent, Momentum
from metadialog.options import packaged_defaults

RATE = 0.1
Make = Callable[[Iterable[Tensor]], Optimizer]
RULES: dict[str, tuple[InnerRule, Make]] = {
    "gradient descent": (GradientDescent(), lambda values: SGD(values, RATE)),
    "momentum": (Momentum(momentum=0.7), lambda values: SGD(values, RATE, momentum=0.7)),
    "nesterov": (
        Momentum(momentum=0.7, nesterov=True),
        lambda values: SGD(values, RATE, momentum=0.7, nesterov=True),
    ),
    "adam": (Adam(betas=[0.8, 0.95]), lambda values: TorchAdam(values, RATE, betas=(0.8, 0.95), eps=1e-8)),
}


def start() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"weight": (3, 2), "bias": (2,)}
    return {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()}


def loss_of(parameters: dict[str, Tensor]) -> Tensor:
    return (parameters["weight"] ** 4).sum() + (parameters["bias"].exp() * parameters["weight"].sum(0)).sum()


def steps(rule: InnerRule, count: int) -> list[dict[str, Tensor]]:
    """Return the parameters after 0, 1, ... steps."""
    current = {name: value.requires_grad_() for name, value in start().items()}
    memory, states = Memory(current), [current]
    for _ in range(count):
        gradients = dict(zip(current, torch.autograd.grad(loss_of(current), list(current.values())), strict=True))
        changes, memory = rule.changes(current, gradients, dict.fromkeys(current, RATE), memory)
        current = {name: (value - changes[name]).detach().requires_grad_() for name, value in current.items()}
        states.append(current)
    return states


@pytest.mark.parametrize("name", RULES)
def test_it_takes_the_steps_of_pytorchs_optimizer(name: str) -> None:
    rule, make = RULES[name]
    parameters = {key: value.requires_grad_() for key, value in start().items()}
    optimizer = make(parameters.values())
    for state in steps(rule, 4):
        for key, value in parameters.items():
            torch.testing.assert_close(state[key], value)
        optimizer.zero_grad()
        loss_of(parameters).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def test_weight_decay_draws_back_to_the_start() -> None:
    plain, decayed = steps(GradientDescent(), 2), steps(GradientDescent(weight_decay=0.5), 2)
    torch.testing.assert_close(decayed[1], plain[1])  # the first step starts from the initial parameters
    for key, began in decayed[0].items():
        back = RATE * 0.5 * (decayed[1][key] - began)
        torch.testing.assert_close(decayed[2][key], plain[2][key] - back)


def test_clipping_scales_all_gradients_together() -> None:
    whole, clipped = steps(GradientDescent(), 1), steps(GradientDescent(clip_norm=0.5), 1)
    way = {key: clipped[1][key] - began for key, began in clipped[0].items()}
    norm = torch.stack([change.square().sum() for change in way.values()]).sum().sqrt()
    torch.testing.assert_close(norm, torch.tensor(0.5 * RATE, dtype=torch.float64))
    scale = way["bias"] / (whole[1]["bias"] - whole[0]["bias"])
    torch.testing.assert_close(way["weight"], scale[0] * (whole[1]["weight"] - whole[0]["weight"]))


def test_plain_is_gradient_descent_and_no_more() -> None:
    assert PLAIN.is_plain
    assert GradientDescent().is_plain
    assert vars(PLAIN) == vars(GradientDescent())
    for rule in (Momentum(), Adam(), GradientDescent(clip_norm=1.0), GradientDescent(chunk=2)):
        assert not rule.is_plain


@pytest.mark.parametrize("kind", [GradientDescent, Momentum, Adam])
def test_every_rule_has_the_options_of_all_rules(kind: type[InnerRule]) -> None:
    node = {"_target_": f"{kind.__module__}.{kind.__name__}", **packaged_defaults(kind)}
    check(node, "inner")
    for option, value in {"weight_decay": -0.1, "clip_norm": 0, "chunk": 0, "adapted": "head"}.items():
        with pytest.raises(ConfigError, match=rf"^inner.{option}="):
            check({**node, option: value}, "inner")
