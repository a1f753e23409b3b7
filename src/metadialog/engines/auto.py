"""The engine that suits the model, the tasks and the steps."""

import logging
from collections.abc import Iterator, Sequence
from typing import Annotated

from annotated_types import Gt
from torch import nn

from metadialog.engines.base import Engine, InnerLoop, MetaGradient, Objective, Reduction
from metadialog.engines.descent import descend
from metadialog.engines.lean import LeanEngine
from metadialog.engines.learn2learn import Learn2LearnEngine
from metadialog.engines.stacked.memory import MIB, footprint
from metadialog.engines.stacked.meta_gradient import obstacle
from metadialog.engines.vectorized import VectorizedEngine, tasks_at_once
from metadialog.episodes import Batch, Episode
from metadialog.models.rnn import DialogModel

log = logging.getLogger(__name__)


class AutoEngine:
    """Picks an engine for each meta-batch, and says so when it picks another.

    All engines give the same meta-gradient. `vectorized` measures fastest wherever its activations fit into memory,
    `lean` comes next and always fits; `learn2learn` takes the models and objectives that the two do not know.

    Args:
        memory: what an engine may take beside the model, MiB.
    """

    name = "auto"

    def __init__(self, *, memory: Annotated[float, Gt(0)]) -> None:
        self.memory = memory
        self._engines: dict[str, Engine] = {
            engine.name: engine for engine in (Learn2LearnEngine(), VectorizedEngine(), LeanEngine(memory=memory))
        }
        self._picked: str | None = None

    def meta_gradient(
        self,
        model: nn.Module,
        objective: Objective,
        episodes: Sequence[Episode],
        inner: InnerLoop,
        reduction: Reduction,
    ) -> MetaGradient:
        """Compute the meta-gradient with the engine that suits; see `Engine.meta_gradient`."""
        name, why = self.pick(model, objective, episodes, inner)
        if name != self._picked:
            log.info("engine auto picks %s: %s", name, why)
            self._picked = name
        return self._engines[name].meta_gradient(model, objective, episodes, inner, reduction)

    def pick(
        self, model: nn.Module, objective: Objective, episodes: Sequence[Episode], inner: InnerLoop
    ) -> tuple[str, str]:
        """Return the name of the engine that suits, and the reason."""
        unknown = obstacle(model, objective, inner)
        if unknown is not None or not isinstance(model, DialogModel):
            return "learn2learn", f"the others do not know {unknown}"
        count = tasks_at_once(model, len(episodes))
        needed = count * footprint(model, episodes, inner).vectorized(inner) / MIB
        tasks = f"{count} tasks of {inner.steps} inner steps at once take about {needed:.0f} MiB"
        if needed <= self.memory:
            return "vectorized", f"{tasks}, within engine.memory={self.memory:g}"
        return "lean", f"{tasks}, over engine.memory={self.memory:g}"

    def adapt(self, model: nn.Module, objective: Objective, support: Batch, inner: InnerLoop) -> Iterator[nn.Module]:
        """Yield the model after each inner step; see `Engine.adapt`."""
        return descend(model, objective, support, inner)
