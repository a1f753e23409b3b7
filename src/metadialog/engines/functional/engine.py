"""The engine for models without hand-written derivatives."""

import logging
from collections.abc import Sequence
from typing import Annotated, Any

import torch
from annotated_types import Gt, Le
from torch import Tensor, nn

from metadialog.engines.base import InnerLoop, MetaGradient, Objective, Reduction
from metadialog.engines.descent import BaseEngine
from metadialog.engines.functional.batches import levels_of
from metadialog.engines.functional.derivatives import Derivatives
from metadialog.engines.functional.dropout import Draws, draws_of
from metadialog.engines.functional.levels import Level, twice_differentiable
from metadialog.engines.functional.memory import Plan, loop_bytes, plan
from metadialog.engines.functional.sweep import Problem, Sweep, Swept
from metadialog.episodes import Episode
from metadialog.options import FROM_YAML, with_defaults
from metadialog.randomness import TaskSeeds

log = logging.getLogger(__name__)


class FunctionalEngine(BaseEngine):
    """The exact meta-gradient of any twice differentiable module, with memory that does not grow with inner steps.

    All tasks that fit into memory are computed in one pass by `torch.func.vmap`, with stacked parameters. Linear and
    recurrent layers and the cross-entropy have hand-written derivatives, and dropout masks are drawn in advance. If
    `vmap` does not support an operation (dropout between recurrent layers, sampled replies, control flow that depends
    on values), the tasks are computed one after another. Only the parameters of each inner step and the graph of the
    last one are kept; the rest is recomputed in the backward sweep. Hessian-vector products are computed reverse over
    reverse, or with limited memory forward over reverse (Kemaev et al. 2025, MixFlow-MG), which keeps less and computes
    more.

    Args:
        memory: memory that it may use in addition to the model, MiB; a single task is run even if it takes more.

    Attributes:
        one_by_one: reasons why tasks were computed one after another, by kind of model and losses.
    """

    name = "functional"

    @with_defaults
    def __init__(self, *, memory: Annotated[float, Gt(0), Le(1e6)] = FROM_YAML) -> None:
        self.memory = memory
        self._derivatives: dict[object, Derivatives] = {}
        self.one_by_one: dict[object, str] = {}

    def meta_gradient(
        self,
        model: nn.Module,
        objective: Objective,
        episodes: Sequence[Episode],
        inner: InnerLoop,
        reduction: Reduction,
    ) -> MetaGradient:
        """Compute the meta-gradient; see `Engine.meta_gradient`."""
        support, query = levels_of(model, objective, episodes, inner)
        kind = _kind_of(model, objective, inner)
        return self.differentiate(model, support, query, inner, reduction, [e.index for e in episodes], kind)

    def loop_bytes(
        self, model: nn.Module, objective: Objective, episodes: Sequence[Episode], inner: InnerLoop
    ) -> int | None:
        """Estimate the memory of learn2learn's loop, which keeps the graph of one task, for a meta-batch, in bytes.

        None if it is unknown: the tasks cannot be stacked, or are processed in parts for lack of memory.
        """
        support, query = levels_of(model, objective, episodes, inner)
        kind = _kind_of(model, objective, inner)
        problem = Problem(model, support, query, inner, self._derivatives.setdefault(kind, Derivatives()))
        try:
            with twice_differentiable():
                return loop_bytes(problem, (kind, model.training))
        except (RuntimeError, NotImplementedError):  # an operation that `vmap` does not support
            return None

    def differentiate(
        self,
        model: nn.Module,
        support: Level,
        query: Level,
        inner: InnerLoop,
        reduction: Reduction,
        numbers: Sequence[int],
        kind: object,
    ) -> MetaGradient:
        """Compute the meta-gradient of tasks of any kind.

        Args:
            model: the initialisation.
            support: the inner loss.
            query: the outer loss.
            inner: the inner loop.
            reduction: reduction over tasks.
            numbers: numbers of the tasks, which determine their random numbers.
            kind: key of the model and the losses, by which it is remembered whether `vmap` supports them.
        """
        problem = Problem(model, support, query, inner, self._derivatives.setdefault(kind, Derivatives()))
        parts: list[Swept] = []
        seeds = TaskSeeds()
        key = kind, model.training
        tasks = len(numbers)
        with twice_differentiable():
            together = tasks > 1 and problem.is_stacked
            while (done := sum(len(part.query_losses) for part in parts)) < tasks:
                if together and key not in self.one_by_one:
                    try:
                        planned = plan(problem, tasks, self.memory, key)
                        some = slice(done, min(done + planned.tasks, tasks))
                        masks = draws_of(model, support.of(some), query.of(some), inner, seeds, numbers[some])
                        parts.append(_sweep(problem, some, planned, masks))
                        continue
                    except (RuntimeError, NotImplementedError) as error:
                        if isinstance(error, torch.OutOfMemoryError):
                            raise
                        self.one_by_one[key] = " ".join(str(error).split())[:200]
                        log.info("engine functional runs the tasks one by one: %s", self.one_by_one[key])
                with seeds.of(numbers[done]):
                    alone = slice(done, done + 1)
                    parts.append(_sweep(problem, alone, Plan(1, inner.steps), alone=True))
        return _together(model, inner, parts, reduction)


def _sweep(problem: Problem, tasks: slice, planned: Plan, masks: Draws | None = None, *, alone: bool = False) -> Swept:
    """Sweep over some of the tasks."""
    return Sweep(
        problem.of(tasks),
        tasks.stop - tasks.start,
        at_once=not alone,
        slots=planned.slots,
        draws=alone,
        short_of_memory=planned.short_of_memory,
        masks=masks,
    ).run()


def _kind_of(model: nn.Module, objective: Objective, inner: InnerLoop) -> object:
    return type(model), _kind(inner.support_objective or objective), _kind(objective), type(inner.rule)


def _kind(objective: Any) -> object:  # noqa: ANN401 - a function, or an object of some class
    return getattr(objective, "__qualname__", None) or type(objective)


def _together(model: nn.Module, inner: InnerLoop, parts: Sequence[Swept], reduction: Reduction) -> MetaGradient:
    """Combine the sweeps over the parts of a meta-batch."""
    tasks = sum(len(part.query_losses) for part in parts)
    weight = 1 / tasks if reduction == "mean" else 1.0

    def total(values: Sequence[Tensor | None], like: Tensor) -> Tensor:
        known = [value for value in values if value is not None]
        return torch.zeros_like(like) if not known else torch.stack(known).sum(0).mul_(weight)

    with torch.no_grad():
        return MetaGradient(
            torch.cat([part.outer_losses for part in parts]).sum() * weight,
            torch.cat([part.support_losses for part in parts]),
            torch.cat([part.query_losses for part in parts]),
            tuple(
                total([part.gradients.get(name) for part in parts], parameter)
                for name, parameter in model.named_parameters()
                if parameter.requires_grad
            ),
            tuple(
                {
                    name: total([part.rate_gradients.get((step, name)) for part in parts], rate)
                    for name, rate in rates.items()
                }
                for step, rates in enumerate(inner.rates or ())
            ),
            tuple(
                total([part.rule_gradients[index] if part.rule_gradients else None for part in parts], learned)
                for index, learned in enumerate(inner.rule.learned)
            ),
        )
