"""An engine whose memory does not grow with the number of inner steps."""

import math
from collections.abc import Sequence
from typing import Annotated

from annotated_types import Gt, Le
from torch import nn

from metadialog.engines.base import InnerLoop, MetaGradient, Objective, Reduction
from metadialog.engines.descent import BaseEngine
from metadialog.engines.graphs import Graphs
from metadialog.engines.stacked.memory import MIB, Footprint, footprint
from metadialog.engines.stacked.meta_gradient import check_stackable, swept_meta_gradient
from metadialog.engines.stacked.sweep import Keeping
from metadialog.episodes import Episode
from metadialog.options import FROM_YAML, with_defaults


class LeanEngine(BaseEngine):
    """The exact meta-gradient within a memory budget: only the weights of each inner step are kept.

    In the backward sweep, the activations of each step are recomputed together with the Hessian-vector product (Kemaev
    et al. 2025, MixFlow-MG). As many tasks are run at once as fit into the budget, which is at most the memory of all
    tasks with one inner step. If not even the weights of one task fit, some of them are recomputed too (Griewank 1992).

    Args:
        memory: memory budget, MiB; one task with one set of weights is run even if it takes more.
        cuda_graphs: whether to record steps as CUDA graphs on a GPU; see `VectorizedEngine`.
    """

    name = "lean"

    @with_defaults
    def __init__(self, *, memory: Annotated[float, Gt(0), Le(1e6)] = FROM_YAML, cuda_graphs: bool = True) -> None:
        self.memory = memory
        self.graphs = Graphs() if cuda_graphs else None

    def check(self, model: nn.Module, objective: Objective, inner: InnerLoop) -> None:
        """Check that the engine has all derivatives; see `Engine.check`."""
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
            ConfigError: the engine does not support this model or objective.
        """
        known = check_stackable(self.name, model, objective, inner)
        of_task = footprint(known, episodes, inner)
        # Even with a large budget, more steps take no more memory than one.
        one_step = len(episodes) * of_task.lean(1, 0)
        tasks, slots = plan(of_task, inner, min(self.memory * MIB, one_step))
        return swept_meta_gradient(
            known, episodes, inner, reduction, tasks, Keeping(tapes=False, weights=slots), self.graphs
        )


def plan(of_task: Footprint, inner: InnerLoop, budget: float) -> tuple[int, int]:
    """Return the number of tasks to run at once, and the number of slots for the weights of each.

    Args:
        of_task: memory of a task.
        inner: the inner loop.
        budget: memory budget, bytes.
    """
    between = max(0, inner.steps - 2)  # the first weights are shared, the last are part of the last tape
    tasks = math.floor(budget / of_task.lean(inner.steps, between))
    if tasks >= 1:
        return tasks, between
    left = budget - of_task.lean(inner.steps, 0)
    return 1, min(between, max(0, math.floor(left / max(1, of_task.weights))))
