"""All tasks of the meta-batch at once."""

import math
from collections.abc import Iterator, Sequence

from torch import nn

from metadialog.engines.base import InnerLoop, MetaGradient, Objective, Reduction
from metadialog.engines.descent import descend
from metadialog.engines.graphs import Graphs
from metadialog.engines.stacked.meta_gradient import check_stackable, swept_meta_gradient
from metadialog.engines.stacked.sweep import Keeping
from metadialog.episodes import Batch, Episode
from metadialog.models.rnn import DialogModel
from metadialog.options import with_defaults

LARGEST_TENSOR = 24 * 2**20
"""Bytes of a weight of all tasks that are run at once on the CPU.

The C library maps what is larger than 32 MiB again each time, and writing to fresh memory takes longer than what is
saved by one more task in a matrix product.
"""


class VectorizedEngine:
    """The exact meta-gradient of all tasks at once, with each task's weights in a stack.

    The activations of every inner step are kept for the backward pass: the fastest way, at the price of memory. Of a
    large model, as many tasks are run at once as the memory is fast for.

    Args:
        cuda_graphs: on a GPU, whether to record steps as CUDA graphs, one for each size that they are padded to.

    Attributes:
        graphs: record steps, those of joint training and of adaptation in evaluation too; None: nothing is recorded.
    """

    name = "vectorized"

    @with_defaults
    def __init__(self, *, cuda_graphs: bool = True) -> None:
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
        size = tasks_at_once(known, len(episodes))
        return swept_meta_gradient(known, episodes, inner, reduction, size, Keeping(tapes=True, weights=0), self.graphs)

    def adapt(self, model: nn.Module, objective: Objective, support: Batch, inner: InnerLoop) -> Iterator[nn.Module]:
        """Yield the model after each inner step; see `Engine.adapt`."""
        return descend(model, objective, support, inner)


def tasks_at_once(model: DialogModel, tasks: int) -> int:
    """Return how many of some tasks to run at once, in parts of one size."""
    weight = model.linear.weight
    if weight.device.type != "cpu":
        return tasks
    parts = math.ceil(tasks * weight.nbytes / LARGEST_TENSOR)
    return math.ceil(tasks / min(parts, tasks))
