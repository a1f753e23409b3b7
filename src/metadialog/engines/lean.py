"""Memory that does not grow with the number of inner steps."""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated

from annotated_types import Gt, Le
from torch import nn

from metadialog.engines.base import InnerLoop, MetaGradient, Objective, Reduction
from metadialog.engines.descent import descend
from metadialog.engines.graphs import Graphs
from metadialog.engines.stacked.memory import MIB, Footprint, footprint
from metadialog.engines.stacked.meta_gradient import check_stackable, swept_meta_gradient
from metadialog.engines.stacked.sweep import Keeping
from metadialog.episodes import Batch, Episode
from metadialog.options import FROM_YAML, with_defaults


class LeanEngine:
    """The exact meta-gradient within a memory budget: of each inner step only the weights are kept.

    On the way back each step's activations are computed again, and with them the Hessian-vector product (Kemaev et
    al. 2025, MixFlow-MG). As many tasks are run at once as fit the budget, and no more than would take what all of
    them take with one inner step; where even one task's weights do not fit, they too are computed again from fewer
    (Griewank 1992).

    Args:
        memory: the budget, MiB; one task with one set of weights is run whatever it takes.
        cuda_graphs: on a GPU, whether to record steps as CUDA graphs; see `VectorizedEngine`.
    """

    name = "lean"

    @with_defaults
    def __init__(self, *, memory: Annotated[float, Gt(0), Le(1e6)] = FROM_YAML, cuda_graphs: bool = True) -> None:
        self.memory = memory
        self.graphs = Graphs() if cuda_graphs else None

    def check(self, model: nn.Module, objective: Objective, inner: InnerLoop) -> None:
        """Check that all derivatives are written out; see `Engine.check`."""
        check_stackable(self.name, model, objective, inner)

    def meta_gradient(
        self,
        model: nn.Module,
        objective: Objective,
        episodes: Sequence[Episode],
        inner: InnerLoop,
        reduction: Reduction,
    ) -> MetaGradient:
        """Compute the meta-gradient; see `Engine.meta_gradient`.

        Raises:
            ConfigError: the derivatives of this model or objective are not written out.
        """
        known = check_stackable(self.name, model, objective, inner)
        of_task = footprint(known, episodes, inner)
        # Even where the budget is ample, more steps take no more memory than one.
        one_step = len(episodes) * of_task.lean(1, 0)
        tasks, slots = plan(of_task, inner, min(self.memory * MIB, one_step))
        return swept_meta_gradient(
            known, episodes, inner, reduction, tasks, Keeping(tapes=False, weights=slots), self.graphs
        )

    def adapt(self, model: nn.Module, objective: Objective, support: Batch, inner: InnerLoop) -> Iterator[nn.Module]:
        """Yield the model after each inner step; see `Engine.adapt`."""
        return descend(model, objective, support, inner)


def plan(of_task: Footprint, inner: InnerLoop, budget: float) -> tuple[int, int]:
    """Return how many tasks to run at once, and in how many slots to keep each one's weights.

    Args:
        of_task: what a task takes.
        inner: the inner loop.
        budget: bytes.
    """
    between = max(0, inner.steps - 2)  # the first weights are everybody's, the last come with the last tape
    tasks = math.floor(budget / of_task.lean(inner.steps, between))
    if tasks >= 1:
        return tasks, between
    left = budget - of_task.lean(inner.steps, 0)
    return 1, min(between, max(0, math.floor(left / max(1, of_task.weights))))
