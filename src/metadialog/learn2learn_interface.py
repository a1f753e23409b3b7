"""All imports from learn2learn.

`import learn2learn` pulls in its `gym`, `vision` and `text` parts, which need gym and torchvision. Nothing here
uses them, so they are replaced by empty modules while learn2learn is imported; a part that is already imported is kept.

learn2learn clones a recurrent layer with `Module._apply`, which reads the `.grad` of the (non-leaf) clones, and torch
warns about that on every clone. The gradient is nevertheless correct (the tests check it against finite differences),
so only this warning is silenced.
"""

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from torch import Tensor, nn
from torch.utils.data import Dataset

for _part in ("learn2learn.gym", "learn2learn.vision", "learn2learn.text"):
    sys.modules.setdefault(_part, ModuleType(_part))

import learn2learn  # noqa: E402


class Learner:
    """A model whose weights are part of the graph, updated in place by learn2learn's `adapt`.

    Args:
        wrapped: learn2learn's wrapper of the model.
    """

    def __init__(self, wrapped: Any) -> None:  # noqa: ANN401 - learn2learn has no annotations
        self._wrapped = wrapped

    @property
    def module(self) -> nn.Module:
        """The model with the weights of this step."""
        module: nn.Module = self._wrapped.module
        return module

    def clone(self) -> "Learner":
        """Return a copy whose weights are functions of the original ones, so that gradients flow back to them."""
        with _quiet():
            return Learner(self._wrapped.clone())

    def adapt(self, loss: Tensor, *, first_order: bool | None = None) -> None:
        """Take an inner step on a loss of `module`.

        Args:
            loss: loss of the current weights, a scalar in nats.
            first_order: whether the inner gradient is treated as a constant; None for the learner's own setting.
        """
        with _quiet():  # it also clones the weights of recurrent layers
            self._wrapped.adapt(loss, first_order=first_order)

    def update(self, changes: Sequence[Tensor | None]) -> None:
        """Subtract a change from each parameter, in the order of `module.parameters()`; None leaves it unchanged."""
        with _quiet():
            learn2learn.algorithms.maml.maml_update(self.module, lr=1.0, grads=list(changes))

    def detach(self) -> None:
        """Cut the weights from the graph; they still require gradients."""
        learn2learn.utils.detach_module(self.module, keep_requires_grad=True)


def maml(model: nn.Module, lr: float, *, first_order: bool = False, allow_unused: bool = False) -> Learner:
    """Wrap a model in learn2learn's MAML (Finn et al. 2017, arXiv:1703.03400).

    Args:
        model: the initialisation.
        lr: the inner learning rate.
        first_order: whether inner gradients are treated as constants.
        allow_unused: whether the loss may not depend on some parameters, or some may not require gradients.
    """
    return Learner(
        learn2learn.algorithms.MAML(
            model, lr=lr, first_order=first_order, allow_unused=allow_unused, allow_nograd=allow_unused
        )
    )


def curvature_transforms(model: nn.Module) -> nn.Module:
    """Return a learned transform of each parameter's gradient (Park and Oliva 2019, arXiv:1902.03356, equation 8)."""
    transforms: nn.Module = learn2learn.optim.ParameterUpdate(
        model.parameters(), learn2learn.optim.MetaCurvatureTransform
    )
    return transforms


def transformed(model: nn.Module, lr: float, transforms: nn.Module, *, first_order: bool) -> Learner:
    """Wrap a model in learn2learn's GBML, whose inner steps follow transformed gradients.

    Args:
        model: the initialisation.
        lr: the inner learning rate.
        transforms: the transforms, from `curvature_transforms`.
        first_order: whether inner gradients are treated as constants.
    """
    return Learner(
        learn2learn.algorithms.GBML(
            model,
            transform=None,
            lr=lr,
            first_order=first_order,
            allow_unused=True,
            allow_nograd=True,
            compute_update=transforms,
        )
    )


class TaskDraw:
    """Draws tasks of one class and `examples` of its items, using the global random generators.

    Args:
        items: pairs of (item, label); the label is the class.
        examples: number of items of a task, drawn without replacement.
    """

    def __init__(self, items: Dataset[tuple[int, int]], examples: int) -> None:
        dataset = learn2learn.data.MetaDataset(items)
        transforms = learn2learn.data.transforms
        self._tasks = learn2learn.data.Taskset(
            dataset,
            task_transforms=[
                transforms.NWays(dataset, n=1),
                transforms.KShots(dataset, k=examples),
                transforms.LoadData(dataset),
            ],
        )

    def sample(self) -> tuple[int, list[int]]:
        """Return the label of a task, and its items."""
        items, labels = self._tasks.sample()  # [examples] each
        return int(labels[0]), [int(item) for item in items]


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence torch's warning about the `.grad` of a non-leaf tensor while learn2learn clones a module."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"The \.grad attribute of a Tensor that is not a leaf")
        yield
