"""Which algorithms can run in several processes: the class that combines the tasks declares it."""

from collections.abc import Callable, Sequence

import pytest
from torch import nn

from metadialog.algorithms.base import Algorithm, OuterStep
from metadialog.algorithms.maml import MAML
from metadialog.algorithms.warm import WarmStarted
from metadialog.episodes import Episode
from metadialog.errors import ConfigError

Make = Callable[..., Algorithm]


class Silent(MAML):
    """Combines the tasks in its own way, and does not declare it."""

    name = "silent"

    def outer_step(self, model: nn.Module, episodes: Sequence[Episode], step: int) -> OuterStep:
        return super().outer_step(model, episodes, step)


class Heir(Silent):
    """Inherits from a class that does not declare it."""

    name = "heir"


class Sharing(Silent):
    name = "sharing"
    additive = True


class Comparing(MAML):
    name = "comparing"
    additive = False


class OtherInnerLoop(MAML):
    """Inherits the combination of tasks and its declaration from MAML."""

    name = "other_inner_loop"
    inner_steps = 2


@pytest.mark.parametrize("kind", [MAML, Sharing, OtherInnerLoop])
def test_what_is_declared_is_shared(kind: type[MAML]) -> None:
    kind().check_processes(4)
    WarmStarted(kind(), 10).check_processes(4)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Silent, "algorithm=silent: Silent has an outer_step of its own, and does not say whether 2 processes"),
        (Heir, "algorithm=heir: Silent has an outer_step of its own"),
        (Comparing, "algorithm=comparing: weighs the tasks of a meta-batch against each other, so that 2 processes"),
    ],
)
def test_what_is_not_is_refused(kind: type[MAML], message: str) -> None:
    for algorithm in (kind(), WarmStarted(kind(), 10)):
        algorithm.check_processes(1)
        with pytest.raises(ConfigError, match=message):
            algorithm.check_processes(2)


def test_each_of_ours_says_so(make_algorithm: Make, choice: str) -> None:
    make_algorithm(choice).check_processes(2)
