"""Automatic choice of the engine for the model, the tasks and the steps."""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, cast

from annotated_types import Gt, Le
from torch import nn

from metadialog.engines.base import Engine, InnerLoop, MetaGradient, Objective, Reduction
from metadialog.engines.descent import descend
from metadialog.engines.estimate import ONE_TASK, STACKED, work_of
from metadialog.engines.functional.engine import FunctionalEngine
from metadialog.engines.lean import LeanEngine, plan
from metadialog.engines.learn2learn import Learn2LearnEngine
from metadialog.engines.stacked.memory import MIB, footprint
from metadialog.engines.stacked.meta_gradient import obstacle
from metadialog.engines.vectorized import VectorizedEngine, tasks_at_once
from metadialog.episodes import Batch, Episode
from metadialog.models.rnn import DialogModel
from metadialog.options import FROM_YAML, with_defaults

log = logging.getLogger(__name__)

# Memory of learn2learn's loop for one task, relative to `vectorized`, as measured (`experiments/cost_of_maml`).
_AUTOGRAD = 4
# Typical error of the expected times.
_ACCURACY = 1.33


class AutoEngine:
    """Picks an engine for each meta-batch, and logs when the choice changes.

    All engines give the same meta-gradient. Among those that support the model and the objective and fit into memory,
    it picks the one that is expected to be fastest by measured speeds (`metadialog.engines.estimate`); `lean` always
    fits. `functional` is picked for models and objectives that no other fast engine supports.

    Args:
        memory: memory that an engine may use in addition to the model, MiB.
    """

    name = "auto"
    takes_any_loop = True

    @with_defaults
    def __init__(self, *, memory: Annotated[float, Gt(0), Le(1e6)] = FROM_YAML) -> None:
        self.memory = memory
        self._engines: dict[str, Engine] = {
            engine.name: engine
            for engine in (
                Learn2LearnEngine(),
                VectorizedEngine(),
                LeanEngine(memory=memory),
                FunctionalEngine(memory=memory),
            )
        }
        self._picked: str | None = None

    def check(self, model: nn.Module, objective: Objective, inner: InnerLoop) -> None:
        """Accept every inner loop; see `Engine.check`."""

    def meta_gradient(
        self,
        model: nn.Module,
        objective: Objective,
        episodes: Sequence[Episode],
        inner: InnerLoop,
        reduction: Reduction,
    ) -> MetaGradient:
        """Compute the meta-gradient with the picked engine; see `Engine.meta_gradient`."""
        name, why = self.pick(model, objective, episodes, inner)
        if name != self._picked:
            log.info("engine auto picks %s: %s", name, why)
            self._picked = name
        return self._engines[name].meta_gradient(model, objective, episodes, inner, reduction)

    def pick(
        self, model: nn.Module, objective: Objective, episodes: Sequence[Episode], inner: InnerLoop
    ) -> tuple[str, str]:
        """Return the name of the picked engine, and the reason."""
        unknown = obstacle(model, objective, inner)
        if unknown is not None:
            return "functional", f"it knows {unknown}"
        expected = {
            candidate.engine: candidate
            for candidate in candidates(cast("DialogModel", model), episodes, inner, self.memory)
            if candidate.engine == "lean" or candidate.mebibytes <= self.memory
        }
        least = min(candidate.seconds for candidate in expected.values())
        # Within the error of the estimates, the order decides: engines that keep more compute less.
        picked = next(candidate for candidate in expected.values() if candidate.seconds <= _ACCURACY * least)
        others = "".join(f"; {candidate}" for candidate in expected.values() if candidate is not picked)
        too_large = (
            "" if "vectorized" in expected else f"; vectorized would take more than engine.memory={self.memory:g}"
        )
        return picked.engine, f"{picked}{others}{too_large}"

    def adapt(self, model: nn.Module, objective: Objective, support: Batch, inner: InnerLoop) -> Iterator[nn.Module]:
        """Yield the model after each inner step; see `Engine.adapt`."""
        return descend(model, objective, support, inner)


@dataclass(frozen=True, slots=True)
class Candidate:
    """The expected time and memory of an engine for a meta-batch."""

    engine: str
    seconds: float
    mebibytes: float

    def __str__(self) -> str:
        """Describe it in round numbers."""
        milliseconds, mebibytes = (float(f"{value:.2g}") for value in (1000 * self.seconds, self.mebibytes))
        return f"{self.engine} about {milliseconds:g} ms, {mebibytes:g} MiB"


def candidates(model: DialogModel, episodes: Sequence[Episode], inner: InnerLoop, memory: float) -> Iterator[Candidate]:
    """Estimate time and memory of each engine.

    Args:
        model: the model.
        episodes: the meta-batch.
        inner: the inner loop.
        memory: the budget of `lean`, MiB.
    """
    work, of_task, tasks = work_of(model, episodes), footprint(model, episodes, inner), len(episodes)

    def stacked(engine: str, at_once: int, bytes_of_task: int) -> Candidate:
        rounds = math.ceil(tasks / at_once)
        seconds = work.seconds(STACKED, inner, rounds=rounds, recomputed=engine == "lean")
        return Candidate(engine, seconds, at_once * bytes_of_task / MIB)

    yield stacked("vectorized", tasks_at_once(model, tasks), of_task.vectorized(inner))
    budget = min(memory * MIB, tasks * of_task.lean(1, 0))
    at_once, slots = plan(of_task, inner, budget)
    yield stacked("lean", min(at_once, tasks), of_task.lean(inner.steps, slots))
    seconds = work.seconds(ONE_TASK, inner, rounds=tasks, recomputed=False)
    yield Candidate("learn2learn", seconds, _AUTOGRAD * of_task.vectorized(inner) / MIB)
