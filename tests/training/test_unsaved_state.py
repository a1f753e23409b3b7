"""State of an algorithm that changes in training must be part of the checkpoint."""

import pytest
import torch

from metadialog.algorithms.base import Algorithm
from metadialog.algorithms.maml import MAML
from metadialog.algorithms.meta_sgd import MetaSGD
from metadialog.algorithms.warm import WarmStarted
from metadialog.errors import RunError
from metadialog.models.rnn import DialogModel
from metadialog.training.unsaved_state import UnsavedState


class Counting(MAML):
    caches = ("cached",)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.seen = [0]
        self.cached = 0
        self.tensor = torch.zeros(2)
        self.unpicklable = lambda: 3


def warm(algorithm: Algorithm) -> Algorithm:
    return WarmStarted(algorithm, 3)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("attribute", ["seen", "tensor", "inner_lr"])
def test_a_changed_attribute_is_named(attribute: str, wrapped: bool) -> None:
    algorithm = Counting()
    unsaved = UnsavedState(warm(algorithm) if wrapped else algorithm)
    unsaved.check()
    if attribute == "seen":
        algorithm.seen.append(1)
    elif attribute == "tensor":
        algorithm.tensor.add_(1)
    else:
        algorithm.inner_lr *= 0.5
    with pytest.raises(
        RunError, match=f"changes its attribute {'algorithm.' if wrapped else ''}{attribute}, which checkpoints do not"
    ):
        unsaved.check()


@pytest.mark.parametrize("wrapped", [False, True])
def test_caches_and_what_is_learned_may_change(wrapped: bool) -> None:
    algorithm = Counting()
    unsaved = UnsavedState(warm(algorithm) if wrapped else algorithm)
    algorithm.cached = 7
    unsaved.check()
    learner = MetaSGD()
    outer = warm(learner) if wrapped else learner
    outer.prepare(DialogModel(11, 4))
    learned = UnsavedState(outer)
    for rate in outer.learned.parameters():
        torch.nn.init.ones_(rate)
    learned.check()
