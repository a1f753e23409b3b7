from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from metadialog.config import build, plain

FOLDER = Path(__file__).parents[2] / "conf" / "optimizer"


def node(choice: str, **options: object) -> dict[str, Any]:
    config = OmegaConf.load(FOLDER / f"{choice}.yaml")
    return {**plain(config), **options}  # type: ignore[arg-type]


def after_steps(optimizer: torch.optim.Optimizer, parameter: torch.nn.Parameter, gradients: list[float]) -> float:
    for gradient in gradients:
        parameter.grad = torch.full_like(parameter, gradient)
        optimizer.step()
    return parameter.item()


@pytest.fixture
def parameter() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.tensor(1.0, dtype=torch.float64))


@pytest.mark.parametrize("choice", sorted(path.stem for path in FOLDER.glob("*.yaml")))
def test_every_choice_goes_down(choice: str, parameter: torch.nn.Parameter) -> None:
    optimizer = build(node(choice), [parameter])
    assert after_steps(optimizer, parameter, [0.5, 0.5]) < 1.0


def test_sgd_by_hand(parameter: torch.nn.Parameter) -> None:
    optimizer = build(node("sgd", lr=0.1, momentum=0.5, weight_decay=0.0), [parameter])
    assert after_steps(optimizer, parameter, [2.0, 1.0]) == pytest.approx(1.0 - 0.1 * 2.0 - 0.1 * (0.5 * 2.0 + 1.0))


def test_adam_by_hand(parameter: torch.nn.Parameter) -> None:
    optimizer = build(node("adam", lr=0.1, beta1=0.8, beta2=0.9, weight_decay=0.0), [parameter])
    expected, first, second = 1.0, 0.0, 0.0
    for step, gradient in enumerate([2.0, -1.0, 3.0], start=1):
        first, second = 0.8 * first + 0.2 * gradient, 0.9 * second + 0.1 * gradient**2
        expected -= 0.1 * (first / (1 - 0.8**step)) / ((second / (1 - 0.9**step)) ** 0.5 + 1e-8)
    assert after_steps(optimizer, parameter, [2.0, -1.0, 3.0]) == pytest.approx(expected, rel=1e-12)


def test_decay_is_apart_from_the_gradient_in_adamw_alone(parameter: torch.nn.Parameter) -> None:
    plain_step = after_steps(build(node("adam", lr=0.1, weight_decay=0.0), [parameter]), parameter, [1.0])
    decayed = torch.nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
    found = after_steps(build(node("adamw", lr=0.1, weight_decay=0.2), [decayed]), decayed, [1.0])
    assert found == pytest.approx(plain_step - 0.1 * 0.2 * 1.0)
