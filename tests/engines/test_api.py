"""`meta_gradient` for any model and tasks, compared with plain autograd; and the examples of its use."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from metadialog.engines import meta_gradient

EXAMPLES = Path(__file__).parents[2] / "examples"


class Tagger(nn.Module):
    """A recurrent layer of torch, whose first dimension is time."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4, num_layers=2)
        self.linear = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.linear(self.rnn(x)[0])
        return found


def squared(model: nn.Module, data: dict[str, Any]) -> Tensor:
    (x,), y = data["x"], data["y"]
    loss: Tensor = (model(x) - y).square().mean()
    return loss


def branching(model: nn.Module, data: dict[str, Any]) -> Tensor:
    """A loss with control flow that depends on values, which `vmap` does not support."""
    loss = squared(model, data)
    return loss if loss.item() > 0.5 else 2 * loss


def data(*shape: int) -> dict[str, Any]:
    return {"x": [torch.randn(*shape, 3).double()], "y": torch.randn(*shape, 2).double()}


def by_autograd(model: nn.Module, loss_fn: Callable[..., Tensor], tasks: Any, lr: float, steps: int) -> list[Tensor]:  # noqa: ANN401
    start = {name: value.detach().clone().requires_grad_() for name, value in model.named_parameters()}

    class With(nn.Module):
        def __init__(self, parameters: dict[str, Tensor]) -> None:
            super().__init__()
            self.parameters_of = parameters

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = functional_call(model, self.parameters_of, (x,))
            return found

    losses = []
    for support, query in tasks:
        now = start
        for _ in range(steps):
            gradients = torch.autograd.grad(loss_fn(With(now), support), list(now.values()), create_graph=True)
            now = {name: value - lr * g for (name, value), g in zip(now.items(), gradients, strict=True)}
        losses.append(loss_fn(With(now), query))
    outer = torch.stack(losses).mean()
    return [outer, *torch.autograd.grad(outer, list(start.values()))]


@pytest.mark.parametrize("loss_fn", [squared, branching])
@pytest.mark.parametrize("shapes", [[(4, 3)] * 3, [(4, 3), (5, 2), (4, 3)]], ids=["of one shape", "of two shapes"])
def test_it_is_what_autograd_gives(loss_fn: Callable[..., Tensor], shapes: list[tuple[int, int]]) -> None:
    torch.manual_seed(0)
    model = Tagger().double()
    tasks = [(data(*shape), data(*shape)) for shape in shapes]
    loss, gradients = meta_gradient(model, loss_fn, tasks, inner_lr=0.3, steps=3)
    expected = by_autograd(model, loss_fn, tasks, 0.3, 3)
    assert list(gradients) == [name for name, _ in model.named_parameters()]
    for found, wanted in zip((loss, *gradients.values()), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


def test_what_is_wrong_is_said() -> None:
    model = Tagger().double()
    with pytest.raises(ValueError, match="there are none"):
        meta_gradient(model, squared, [], inner_lr=0.1)
    with pytest.raises(ValueError, match=r"\['rnn'\] are not parameters"):
        meta_gradient(model, squared, [(data(2, 2), data(2, 2))], inner_lr=0.1, adapted=["rnn"])


def test_the_articles_update_learns_two_chinese_topics() -> None:
    example = runpy.run_path(str(EXAMPLES / "article.py"))
    torch.manual_seed(0)
    tasks, vocab_size = example["chinese_tasks"](samples=2)
    assert len(tasks) == 2
    losses = example["train_maml"](example["DialogModel"](vocab_size, 16), tasks, alpha=0.5, beta=0.5, num_updates=15)
    assert losses[-1] < 0.95 * losses[0]


@pytest.mark.parametrize(("name", "updates"), [("sine", 60), ("few_shot_text", 25)])
def test_examples_learn(name: str, updates: int) -> None:
    losses = runpy.run_path(str(EXAMPLES / f"{name}.py"))["train"](updates)
    assert sum(losses[-10:]) < 0.98 * sum(losses[:10])
