"""All tasks of the meta-batch at once."""

from collections.abc import Iterator, Sequence

from torch import nn

from metadialog.engines.base import InnerLoop, MetaGradient, Objective, Reduction
from metadialog.engines.descent import descend
from metadialog.engines.stacked.meta_gradient import check_stackable, swept_meta_gradient
from metadialog.engines.stacked.sweep import Keeping
from metadialog.episodes import Batch, Episode


class VectorizedEngine:
    """The exact meta-gradient of all tasks at once, with each task's weights in a stack.

    Every inner step's activations are kept for the way back: the fastest, and the hungriest.
    """

    name = "vectorized"

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
        known = check_stackable(self.name, model, objective)
        return swept_meta_gradient(known, episodes, inner, reduction, len(episodes), Keeping(tapes=True, weights=0))

    def adapt(self, model: nn.Module, objective: Objective, support: Batch, inner: InnerLoop) -> Iterator[nn.Module]:
        """Yield the model after each inner step; see `Engine.adapt`."""
        return descend(model, objective, support, inner)
