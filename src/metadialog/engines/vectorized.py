"""An engine that computes all tasks of the meta-batch at once."""

import math
from collections.abc import Sequence

from torch import nn

from metadialog.engines.base import InnerLoop, MetaGradient, Objective, Reduction
from metadialog.engines.descent import BaseEngine
from metadialog.engines.graphs import Graphs
from metadialog.engines.stacked.meta_gradient import check_stackable, swept_meta_gradient
from metadialog.engines.stacked.sweep import Keeping
from metadialog.episodes import Episode
from metadialog.models.rnn import DialogModel
from metadialog.options import with_defaults

LARGEST_TENSOR = 24 * 2**20
"""Maximum size in bytes of a stacked weight on the CPU.

The C library maps allocations above 32 MiB anew each time, and writing to new memory takes longer than one more task in
a matrix product saves.
"""


class VectorizedEngine(BaseEngine):
    """The exact meta-gradient of all tasks at once, with stacked weights.

    The activations of every inner step are kept for the backward pass, which is fast but takes memory. For a large
    model, the number of tasks at once is limited, as large allocations are slow.

    Args:
        cuda_graphs: whether to record steps as CUDA graphs on a GPU, one for each rounded size of a meta-batch.

    Attributes:
        graphs: records steps, including those of joint training and of adaptation in evaluation; None for no recording.
    """

    name = "vectorized"

    @with_defaults
    def __init__(self, *, cuda_graphs: bool = True) -> None:
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
        size = tasks_at_once(known, len(episodes))
        return swept_meta_gradient(known, episodes, inner, reduction, size, Keeping(tapes=True, weights=0), self.graphs)


def tasks_at_once(model: DialogModel, tasks: int) -> int:
    """Return the number of tasks to run at once, in parts of equal size."""
    weight = model.linear.weight
    if weight.device.type != "cpu":
        return tasks
    parts = math.ceil(tasks * weight.nbytes / LARGEST_TENSOR)
    return math.ceil(tasks / min(parts, tasks))
