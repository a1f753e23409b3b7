"""An algorithm that starts with joint training."""

from collections.abc import Iterator, Sequence

from torch import nn

from metadialog.algorithms.base import Algorithm, OuterStep, Passes, Retriever
from metadialog.algorithms.baselines import ZeroShot
from metadialog.engines.functional.adaptation import SideBySide
from metadialog.episodes import Batch, Episode


class WarmStarted(Algorithm):
    """Joint training for some outer steps, then another algorithm from the resulting model.

    In Hou et al. 2022 (TACL, table 1) a multi-task start is the largest single gain for MAML.

    Args:
        algorithm: the algorithm that takes over.
        steps: number of outer steps of joint training.
    """

    def __init__(self, algorithm: Algorithm, steps: int) -> None:
        super().__init__(algorithm.tools, name=algorithm.name)
        self.inner_steps = algorithm.inner_steps
        self.algorithm = algorithm
        self.steps = steps
        self.trains = algorithm.trains
        self.joint = ZeroShot(algorithm.tools, name=algorithm.name)

    def prepare(self, model: nn.Module) -> nn.Module:
        """Prepare the model for the algorithm."""
        prepared = self.algorithm.prepare(model)
        self.learned = self.algorithm.learned
        return prepared

    def check(self, model: nn.Module) -> None:
        """Check the model for the algorithm."""
        self.algorithm.check(model)

    def check_processes(self, processes: int) -> None:
        """Check the algorithm; joint training can always be shared."""
        self.algorithm.check_processes(processes)

    def adapts_to(self, episode: Episode) -> Batch | None:
        """Return the batch that the algorithm adapts to."""
        return self.algorithm.adapts_to(episode)

    def retriever(self) -> Retriever | None:
        """Return the algorithm's retriever."""
        return self.algorithm.retriever()

    def outer_step(self, model: nn.Module, episodes: Sequence[Episode], step: int) -> OuterStep:
        """Take a joint step, or one of the algorithm, whose steps count from where it takes over."""
        if step < self.steps:
            return self.joint.outer_step(model, episodes, step)
        return self.algorithm.outer_step(model, episodes, step - self.steps)

    def passes(self, step: int) -> Passes:
        """Return the passes of an outer step."""
        return self.joint.passes(step) if step < self.steps else self.algorithm.passes(step - self.steps)

    def adapt(self, model: nn.Module, support: Batch | None, steps: int, scale: float = 1.0) -> Iterator[nn.Module]:
        """Adapt with the algorithm."""
        return self.algorithm.adapt(model, support, steps, scale)

    def adapt_together(
        self, model: nn.Module, supports: Sequence[Batch | None], steps: int, scale: float = 1.0
    ) -> Iterator[SideBySide] | None:
        """Adapt with the algorithm."""
        return self.algorithm.adapt_together(model, supports, steps, scale)
