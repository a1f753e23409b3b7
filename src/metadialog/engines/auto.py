"""Automatic choice of the engine for the model, the tasks and the steps."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, cast

import torch
from annotated_types import Gt, Le
from torch import nn

from metadialog import memory as machine_memory
from metadialog.engines.base import Engine, InnerLoop, MetaGradient, Objective, Reduction
from metadialog.engines.descent import BaseEngine
from metadialog.engines.estimate import ONE_TASK, STACKED, work_of
from metadialog.engines.functional.engine import FunctionalEngine
from metadialog.engines.graphs import Graphs
from metadialog.engines.lean import LeanEngine, plan
from metadialog.engines.learn2learn import Learn2LearnEngine
from metadialog.engines.measuring import Measured, measure
from metadialog.engines.remembered import key_of, remembered
from metadialog.engines.stacked.memory import MIB, footprint
from metadialog.engines.stacked.meta_gradient import obstacle
from metadialog.engines.vectorized import VectorizedEngine, tasks_at_once
from metadialog.episodes import Episode
from metadialog.models.rnn import DialogModel
from metadialog.options import FROM_YAML, with_defaults

log = logging.getLogger(__name__)

Measure = Literal["once", "anew", "never"]

# Memory of learn2learn's loop for one task, relative to `vectorized`, as measured (`experiments/cost_of_maml`).
_AUTOGRAD = 4
# Typical error of the expected times.
_ACCURACY = 1.33
_STACKED = ("vectorized", "lean")
_CERTAIN = _ACCURACY**2
"""Ratio of expected times from which on the faster engine is certain, given their typical errors."""


class _MetaBatch(NamedTuple):
    """What an engine is chosen for, as `Engine.meta_gradient` takes it."""

    model: nn.Module
    objective: Objective
    episodes: Sequence[Episode]
    inner: InnerLoop


class AutoEngine(BaseEngine):
    """Picks the fastest engine, and logs which and why.

    All engines give the same meta-gradient, up to rounding. For the recurrent language model, measured speeds
    (`metadialog.engines.estimate`) tell which engine should be fastest. Where they leave a doubt, and for all other
    models, the engines that may be fastest are timed on the first meta-batch. The assumed one (`vectorized`, or
    `functional` for what `vectorized` does not support) is kept unless another is faster by a margin, so that the
    choice does not depend on noise. `lean` does the work of `vectorized` and more, and is used for a meta-batch if
    `memory` is too small.

    As engines differ by rounding, the choice belongs to the run. It is made before the first gradient is used and does
    not change later; `cost.json` and the checkpoints contain it, and a resumed run keeps it. If several processes share
    a run, the first one chooses. The result is stored on this machine, so that a second run with the same seed gives
    the same bytes. Another machine may choose another engine: name one as `engine=` for the same bytes on several
    machines.

    Args:
        memory: memory that an engine may use in addition to the model, MiB; not used on a GPU.
        share: fraction of a GPU's memory, free at the first step, that an engine may use.
        measure: `once`: use an earlier measurement of this machine if there is one; `anew`: discard it and measure
            again; `never`: use the assumed engine.
        cuda_graphs: whether to record steps as CUDA graphs on a GPU; see `VectorizedEngine`.

    Attributes:
        chosen: the engine for each kind of inner loop so far; entries that are set beforehand are kept.
    """

    name = "auto"
    takes_any_loop = True

    @with_defaults
    def __init__(
        self,
        *,
        memory: Annotated[float, Gt(0), Le(1e6)] = FROM_YAML,
        share: Annotated[float, Gt(0), Le(1)] = 0.5,
        measure: Measure = "once",
        cuda_graphs: bool = True,
    ) -> None:
        self.memory = memory
        self.share = share
        self.measure = measure
        self.cuda_graphs = cuda_graphs
        self.graphs = Graphs() if cuda_graphs else None
        self.chosen: dict[str, str] = {}
        self._functional = FunctionalEngine(memory=memory)
        self._engines = self._made()
        self._cache: Path | None = None
        self._agree: Callable[[Callable[[], str]], str] = lambda make: make()
        self._sized = False
        self._clock = time.perf_counter

    def _made(self) -> dict[str, Engine]:
        graphs = self.cuda_graphs
        stacked = VectorizedEngine(cuda_graphs=graphs), LeanEngine(memory=self.memory, cuda_graphs=graphs)
        some: tuple[Engine, ...] = (Learn2LearnEngine(), *stacked, self._functional)
        return {engine.name: engine for engine in some}

    def settle(self, cache: Path, agree: Callable[[Callable[[], str]], str]) -> None:
        """Set where results are stored, and how the processes of a run agree on a choice.

        Args:
            cache: the cache folder.
            agree: returns, in each process, what the function returns in the first one.
        """
        self._cache = cache
        self._agree = agree

    def meta_gradient(
        self,
        model: nn.Module,
        objective: Objective,
        episodes: Sequence[Episode],
        inner: InnerLoop,
        reduction: Reduction,
    ) -> MetaGradient:
        """Compute the meta-gradient with the picked engine; see `Engine.meta_gradient`."""
        self._size_for(next(model.parameters()).device)
        kind = _kind(inner)
        if kind not in self.chosen:
            first = _MetaBatch(model, objective, episodes, inner)
            self.chosen[kind] = self._agree(lambda: self._choose(first, reduction))
        name = self.chosen[kind]
        if name in _STACKED:
            name = "vectorized" if self._fits(cast("DialogModel", model), episodes, inner) else "lean"
        return self._engines[name].meta_gradient(model, objective, episodes, inner, reduction)

    def _size_for(self, device: torch.device) -> None:
        """Set the limit from the free memory of a GPU at the first step, as a power of two for reproducibility."""
        free = machine_memory.free(device) if device.type == "cuda" and not self._sized else None
        if free is not None:
            self.memory = float(2 ** math.floor(math.log2(max(1, self.share * free / MIB))))
            self._functional = FunctionalEngine(memory=self.memory)
            self._engines = self._made()
            log.info("engine auto may take %g MiB of the GPU", self.memory)
        self._sized = True

    def _fits(self, model: DialogModel, episodes: Sequence[Episode], inner: InnerLoop) -> bool:
        """Tell whether `vectorized` has the memory for a meta-batch."""
        of_task = footprint(model, episodes, inner)
        return tasks_at_once(model, len(episodes)) * of_task.vectorized(inner) <= self.memory * MIB

    def _choose(self, first: _MetaBatch, reduction: Reduction) -> str:
        """Choose the engine for a kind of inner loop on its first meta-batch, and log the choice."""
        model, objective, episodes, inner = first
        assumed, why = self.pick(*first)
        others = [] if self.measure == "never" else self._rivals(assumed, first)
        if not others:
            log.info("engine auto picks %s: %s", assumed, why)
            return assumed

        def timed() -> Measured:
            contenders = {
                name: lambda name=name: self._engines[name].meta_gradient(*first, reduction)
                for name in (assumed, *others)
            }
            return measure(contenders, assumed, next(model.parameters()).device, self._clock)

        losses = [_name(objective), _name(inner.support_objective or objective)]
        where = key_of(model, losses, episodes, inner, self.memory)
        anew = self.measure == "anew"
        result, now = remembered(self._cache, where, timed, [assumed, *others], anew=anew)
        when = "now" if now else "before, on this machine"
        log.info("engine auto picks %s: %s; measured %s: %s", result.fastest, why, when, result)
        return result.fastest

    def _rivals(self, assumed: str, first: _MetaBatch) -> list[str]:
        """Return the names of engines that may be faster than the assumed one."""
        model, _, episodes, inner = first
        if assumed == "functional":
            loop = self._functional.loop_bytes(*first)
            return ["learn2learn"] if loop is not None and loop <= self.memory * MIB else []
        known = cast("DialogModel", model)
        expected = {one.engine: one for one in candidates(known, episodes, inner, self.memory)}
        on_cpu = next(model.parameters()).device.type == "cpu"  # the estimates are for these
        return [
            name
            for name, one in expected.items()
            if name != assumed
            and not (name in _STACKED and assumed in _STACKED)
            and not (name == "lean" and self._fits(known, episodes, inner))
            and (name == "lean" or one.mebibytes <= self.memory)
            and (not on_cpu or one.seconds <= _CERTAIN * expected[assumed].seconds)
        ]

    def pick(
        self, model: nn.Module, objective: Objective, episodes: Sequence[Episode], inner: InnerLoop
    ) -> tuple[str, str]:
        """Return the name of the engine that should be fastest, without measuring, and the reason."""
        unknown = obstacle(model, objective, inner)
        if unknown is not None:
            return "functional", f"it supports {unknown}"
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


def _kind(inner: InnerLoop) -> str:
    """Return a description of the kind of inner loop."""
    order = ", first order" if inner.first_order else ""
    return f"{inner.steps} inner step{'' if inner.steps == 1 else 's'}{order}"


def _name(objective: Objective) -> str:
    return getattr(objective, "__qualname__", None) or type(objective).__qualname__


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
