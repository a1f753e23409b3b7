"""learn2learn is imported in one file only."""

import ast
from pathlib import Path

import torch
from torch import Tensor, nn

import metadialog
from metadialog.learn2learn_interface import Learner, curvature_transforms, maml, transformed


def test_one_file_imports_learn2learn() -> None:
    package = Path(metadialog.__file__).parent
    importers = set()
    for file in package.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            module = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == "learn2learn" for name in [*names, *module]):
                importers.add(file.relative_to(package).as_posix())
    assert importers == {"learn2learn_interface.py"}


def test_an_inner_step_is_gradient_descent_and_gradients_flow_through_it() -> None:
    model = nn.Linear(1, 1, bias=False)
    start = model.weight.detach().clone()
    learner = maml(model, 0.1).clone()
    learner.adapt((weight(learner) ** 2).sum())  # theta' = theta - 0.1 * 2 theta
    assert torch.allclose(weight(learner), 0.8 * start)
    (gradient,) = torch.autograd.grad((weight(learner) ** 2).sum(), model.weight)
    assert torch.allclose(gradient, 2 * 0.8 * 0.8 * start)
    assert torch.equal(model.weight, start)


def test_untrained_transforms_leave_the_step_as_it_is() -> None:
    model = nn.Linear(3, 2)
    plain, curved = maml(model, 0.1).clone(), transformed(model, 0.1, curvature_transforms(model), first_order=False)
    curved = curved.clone()
    for learner in (plain, curved):
        learner.adapt(learner.module(torch.ones(1, 3)).square().sum())
    assert torch.allclose(weight(plain), weight(curved))
    curved.detach()
    assert weight(curved).is_leaf
    assert weight(curved).requires_grad


def weight(learner: Learner) -> Tensor:
    value = learner.module.weight  # no Parameter after an inner step
    assert isinstance(value, Tensor)
    return value
