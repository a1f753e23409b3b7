"""The meta-gradient of tasks by a sweep: forward through the inner loop with gradients, backward with Hessian products.

With the state `s_k = (theta_k, memory of the rule)` and one inner step `s_{k+1} = U(s_k, g_k)`, `g_k` the gradient of
the support loss at `theta_k`, the cotangent of `s_k` is that of U with respect to the state, plus the Hessian at
`theta_k` times that of U with respect to `g_k`. This is reverse mode over the inner loop (Maclaurin et al. 2015), in
which only the state of each step is kept and the rest is recomputed (Kemaev et al. 2025, MixFlow-MG). U is small and
differentiated by autograd.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.utils._pytree import tree_map

from metadialog.engines.base import InnerLoop
from metadialog.engines.functional.derivatives import Derivatives, Losses, Tape
from metadialog.engines.functional.dropout import Draws, dropping
from metadialog.engines.functional.levels import Level, part_losses, stacked_losses
from metadialog.engines.stacked.trajectory import Trajectory
from metadialog.inner.base import Memory
from metadialog.randomness import random_state, set_random_state

Tensors = dict[str, Tensor]
Averages = dict[str, Tensors]


@dataclass(frozen=True, slots=True)
class State:
    """The state of the tasks in the inner loop.

    Attributes:
        parameters: parameters that the inner loop changes, `[tasks, ...]`.
        averages: memory of the rule, `[tasks, ...]`.
    """

    parameters: Tensors
    averages: Averages


@dataclass(frozen=True, slots=True)
class Swept:
    """The results of a sweep over tasks.

    Attributes:
        support_losses: support losses before the first step, `[tasks]`.
        outer_losses: the weighted query losses, `[tasks]`.
        query_losses: query losses after the last step, `[tasks]`.
        gradients: gradients of the sum of the outer losses, by parameter name.
        rate_gradients: gradients of each rate of each step, by the indices of both.
        rule_gradients: gradients of the learned tensors of the rule.
    """

    support_losses: Tensor
    outer_losses: Tensor
    query_losses: Tensor
    gradients: Tensors
    rate_gradients: dict[tuple[int, str], Tensor]
    rule_gradients: list[Tensor]


@dataclass(frozen=True, slots=True)
class Problem:
    """What several tasks are to learn, on two levels.

    Attributes:
        model: the initialisation.
        support: the level of the inner loop.
        query: the outer loss.
        inner: the inner loop.
        derivatives: differentiates losses.
    """

    model: nn.Module
    support: Level
    query: Level
    inner: InnerLoop
    derivatives: Derivatives

    @property
    def is_stacked(self) -> bool:
        """Whether the tasks' data are stacked, as a pass over all tasks needs."""
        return self.support.stacked is not None and self.query.stacked is not None

    def of(self, tasks: slice) -> "Problem":
        """Return the problem of some of the tasks."""
        return replace(self, support=self.support.of(tasks), query=self.query.of(tasks))


class Sweep:
    """The two levels of several tasks at once.

    Args:
        problem: the two levels.
        tasks: number of tasks.
        at_once: levels that are computed in one pass over all tasks; others are computed task by task.
        slots: number of states kept between the first and the last step.
        draws: whether losses draw random numbers, which are then repeated in the backward sweep.
        short_of_memory: whether to keep no graph of the last inner step.
        masks: dropout masks, if all tasks are computed at once.
    """

    def __init__(
        self,
        problem: Problem,
        tasks: int,
        *,
        at_once: bool,
        slots: int,
        draws: bool = False,
        short_of_memory: bool = False,
        masks: Draws | None = None,
    ) -> None:
        self.model, self.inner, self.derivatives = problem.model, problem.inner, problem.derivatives
        self.levels = {"support": problem.support, "query": problem.query}
        self.tasks = tasks
        self.at_once = at_once
        self.slots = slots
        self.draws = draws
        self.short_of_memory = short_of_memory
        self.masks = masks
        trainable = {name: p.detach() for name, p in self.model.named_parameters() if p.requires_grad}
        self.start = {name: value for name, value in trainable.items() if self.inner.adapts(name)}
        self.shared = {name: value for name, value in trainable.items() if not self.inner.adapts(name)}
        self._drawn: dict[tuple[str, int], Any] = {}

    def begin(self) -> State:
        """Return the state before the first step: the initialisation for every task."""
        return State({name: value.expand(self.tasks, *value.shape) for name, value in self.start.items()}, {})

    def run(self) -> Swept:
        """Compute the losses, and the gradients of the sum of the outer ones."""
        steps = self.inner.steps
        last, supports, between, trajectory, tape = self._down()
        query_losses, gradients = self._gradients("query", steps, last)
        weight = self.inner.query_weight(steps)
        outer = between + weight * query_losses
        cotangents = {name: weight * value for name, value in gradients.items()}
        back = _Back(self, trajectory, cotangents, tape)
        del tape
        for step in reversed(range(steps)):
            if not self._passes_through:
                back.through(step)
            if weight := self.inner.query_weight(step):
                losses, result = self._gradients("query", step, back.before(step))
                outer = outer + (0 if self.draws else weight * losses)
                back.add({name: weight * value for name, value in result.items()})
        return Swept(supports, outer, query_losses, back.totals(), back.rates, back.learned)

    @property
    def _passes_through(self) -> bool:
        """Whether a step leaves a cotangent unchanged: first order and plain gradient descent."""
        return self.inner.first_order and self.inner.rule.is_plain and self.inner.rates is None

    def _down(self) -> tuple[State, Tensor, Tensor, "Trajectory[State]", Tape | None]:
        """Run the inner loop forward.

        Returns:
            The last state, the first support losses, the outer losses of the states before the last if losses draw
            random numbers (as these must be drawn in order), the states, and a tape of the last step.
        """
        state, steps = self.begin(), self.inner.steps
        trajectory: Trajectory[State] = Trajectory(state, self.advance, self.slots)
        supports: Tensor | None = None
        between: Tensor | None = None
        tape: Tape | None = None
        for step in range(max(1, steps)):
            weight = self.inner.query_weight(step)
            if step < steps and weight and self.draws:
                losses = weight * self._losses_alone("query", step, state)
                between = losses if between is None else between + losses
            if step == steps:  # without any step, the query draws first
                break
            trajectory.keep(step, state, steps)
            if step == steps - 1 and not self.inner.first_order and not self.short_of_memory:
                tape = self.tape(step, state)
                losses, gradients = tape.losses(), tape.gradients()
            else:
                losses, gradients = self._gradients("support", step, state)
            supports = losses if supports is None else supports
            state = self.step(step, state, gradients)
        if supports is None:
            self._remember("query", 0)
            self._losses_alone("query", 0, state)
            supports = self._losses_alone("support", 0, state)
        between = torch.zeros_like(supports) if between is None else between
        return state, supports, between, trajectory, tape

    def advance(self, step: int, state: State) -> State:
        """Take an inner step."""
        return self.step(step, state, self._gradients("support", step, state)[1])

    def step(self, step: int, state: State, gradients: Mapping[str, Tensor]) -> State:
        """Apply the rule to the gradients of a step, without a graph."""
        adapted = {name: value for name, value in gradients.items() if name in state.parameters}
        with torch.no_grad():
            return self.updated(step, state, adapted, self.start, self._rates(step))

    def updated(self, step: int, state: State, gradients: Tensors, start: Tensors, rates: Tensors | float) -> State:
        """Apply the rule as a function of everything that it depends on."""
        if self.inner.rule.is_plain:
            moved = {
                name: state.parameters[name].sub(value, alpha=rates)
                if isinstance(rates, float)
                else state.parameters[name] - rates[name] * value
                for name, value in gradients.items()
            }
            return State({**state.parameters, **moved}, state.averages)

        def of_task(parameters: Tensors, gradients: Tensors, averages: Averages) -> tuple[Tensors, Averages]:
            by = {name: rates if isinstance(rates, float) else rates[name] for name in gradients}
            memory = Memory(start if self.inner.rule.weight_decay else {}, step, averages)
            changes, after = self.inner.rule.changes(parameters, gradients, by, memory)
            moved = {**parameters, **{name: parameters[name] - change for name, change in changes.items()}}
            return moved, {of: dict(values) for of, values in after.averages.items()}

        arguments = state.parameters, gradients, state.averages
        if self.tasks > 1:
            return State(*vmap(of_task)(*arguments))
        alone = tree_map(lambda value: value[0], arguments)
        return State(*tree_map(lambda value: value[None], of_task(*alone)))

    def rates_of(self, step: int) -> Mapping[str, Tensor] | None:
        """Return the rates of a step; None if there is one rate for all."""
        return None if self.inner.rates is None else self.inner.rates[self.inner.rates_at(step)]

    def _rates(self, step: int) -> Tensors | float:
        rates = self.rates_of(step)
        return self.inner.lr if rates is None else dict(rates)

    def losses_of(self, kind: str, step: int) -> Losses:
        """Return the losses of a level at a step as a function of parameters."""
        level, draws = self.levels[kind], self.masks
        if self.at_once and draws is not None:

            def dropped(masks: list[Tensor]) -> AbstractContextManager[None]:
                return dropping(self.model, lambda features, _: features * masks.pop(0))

            return lambda adapted, shared: [
                stacked_losses(self.model, level, adapted, shared, dropped, draws.of(kind, step))
            ]
        if self.at_once:
            return lambda adapted, shared: [stacked_losses(self.model, level, adapted, shared)]
        return lambda adapted, shared: part_losses(self.model, level, adapted, shared)

    def _gradients(self, kind: str, step: int, state: State) -> tuple[Tensor, Tensors]:
        self._remember(kind, step)
        wanted = kind == "query"  # the support loss only needs gradients of the adapted parameters
        return self.derivatives.gradients(self.losses_of(kind, step), state.parameters, self.shared, by_shared=wanted)

    def tape(self, step: int, state: State) -> Tape:
        """Return a pass over the support losses that provides both derivatives."""
        again = self._remember("support", step)

        def losses(adapted: Mapping[str, Tensor], shared: Mapping[str, Tensor]) -> Iterable[Tensor]:
            again()  # each time it is computed
            return self.losses_of("support", step)(adapted, shared)

        return self.derivatives.tape(losses, state.parameters, self.shared, short_of_memory=self.short_of_memory)

    def _losses_alone(self, kind: str, step: int, state: State) -> Tensor:
        self._remember(kind, step)
        with torch.no_grad():
            return torch.stack(list(self.losses_of(kind, step)(state.parameters, self.shared))).sum(0)

    def _remember(self, kind: str, step: int) -> Callable[[], None]:
        """Repeat the random numbers of an earlier pass, if there was one; return a function that repeats them again."""
        if not self.draws:
            return lambda: None
        if (kind, step) in self._drawn:
            set_random_state(self._drawn[kind, step])
        else:
            self._drawn[kind, step] = random_state()
        drawn = self._drawn[kind, step]
        return lambda: set_random_state(drawn)


@dataclass(slots=True)
class _Back:
    """The cotangents in the backward sweep.

    Attributes:
        sweep: the sweep.
        trajectory: supplies the states.
        cotangents: cotangents of the parameters, per task for adapted ones, otherwise summed.
        tape: tape of the last step, if it was kept.
        averages: cotangents of the rule's memory.
        start: cotangents of the initialisation, if the rule pulls towards it.
        rates: cotangents of the rates, by step and name.
        learned: cotangents of the learned tensors of the rule.
    """

    sweep: Sweep
    trajectory: "Trajectory[State]"
    cotangents: Tensors
    tape: Tape | None = None
    averages: Averages = field(default_factory=dict)
    start: Tensors = field(default_factory=dict)
    rates: dict[tuple[int, str], Tensor] = field(default_factory=dict)
    learned: list[Tensor] = field(default_factory=list)

    def before(self, step: int) -> State:
        """Return the state before a step; to be called with descending steps."""
        return self.trajectory.before(step)

    def add(self, gradients: Tensors) -> None:
        """Add to the cotangents of the parameters."""
        for name, value in gradients.items():
            self.cotangents[name] = self.cotangents[name] + value if name in self.cotangents else value

    def through(self, step: int) -> None:
        """Backpropagate through a step: the cotangents become those of the state before it."""
        inner, state = self.sweep.inner, self.before(step)
        own = {name: value for name, value in self.cotangents.items() if name in state.parameters}
        if inner.first_order:
            _, gradients = self.sweep._gradients("support", step, state)  # noqa: SLF001
            self._through_rule(step, state, self._adapted(gradients))
            return
        tape, self.tape = self.tape or self.sweep.tape(step, state), None
        if inner.rule.is_plain and inner.rates is None:
            # With many large tensors, each pass over them takes time.
            _add_up(self.cotangents, tape.products(own), -inner.lr)
        else:
            direction = self._through_rule(step, state, self._adapted(tape.gradients()))
            self.add(tape.products(direction))

    def _adapted(self, gradients: Tensors) -> Tensors:
        return {name: value for name, value in gradients.items() if name in self.sweep.start}

    def _through_rule(self, step: int, state: State, gradients: Tensors) -> Tensors:
        """Backpropagate through the rule, and return the cotangents of the gradients."""
        sweep = self.sweep
        if sweep.inner.rule.is_plain and sweep.inner.rates is None:
            return {name: -sweep.inner.lr * self.cotangents[name] for name in gradients if name in self.cotangents}
        leaves = {
            "state": State(_leaves(state.parameters), {of: _leaves(values) for of, values in state.averages.items()}),
            "gradients": _leaves(gradients),
            "start": _leaves(sweep.start),
        }
        now, by, start = leaves["state"], leaves["gradients"], leaves["start"]
        assert isinstance(now, State)  # noqa: S101 - for the type checker
        assert isinstance(by, dict)  # noqa: S101
        assert isinstance(start, dict)  # noqa: S101
        rates = sweep.rates_of(step)
        at = {} if rates is None else _leaves(dict(rates))
        with torch.enable_grad():
            after = sweep.updated(step, now, by, start, sweep.inner.lr if rates is None else at)
        outputs = [(after.parameters[name], self.cotangents.get(name)) for name in after.parameters]
        for of, values in after.averages.items():
            outputs += [(value, self.averages.get(of, {}).get(name)) for name, value in values.items()]
        known = [(value, along) for value, along in outputs if along is not None and value.requires_grad]
        groups: list[dict[Any, Tensor]] = [now.parameters, by, start, at]
        groups += list(now.averages.values())
        groups.append(dict(enumerate(sweep.inner.rule.learned)))
        result = _vector_jacobian(known, groups)
        parameters, along, by_start, by_rates = result[:4]
        for name, value in parameters.items():
            self.cotangents[name] = value
        self.averages = dict(zip(now.averages, result[4:-1], strict=True))
        for name, value in by_start.items():
            self.start[name] = self.start[name] + value if name in self.start else value
        index = sweep.inner.rates_at(step)
        for name, value in by_rates.items():
            key = (index, name)
            self.rates[key] = self.rates[key] + value if key in self.rates else value
        self._add_learned(result[-1])
        return along

    def _add_learned(self, gradients: Mapping[int, Tensor]) -> None:
        learned = self.sweep.inner.rule.learned
        if not self.learned:
            self.learned = [torch.zeros_like(value) for value in learned]
        for index, value in gradients.items():
            self.learned[index] = self.learned[index] + value

    def totals(self) -> Tensors:
        """Return the gradients with respect to the initialisation."""
        results = {name: value.sum(0) if name in self.sweep.start else value for name, value in self.cotangents.items()}
        for name, value in self.start.items():
            results[name] = results[name] + value if name in results else value
        return results


def _add_up(totals: Tensors, parts: Tensors, weight: float) -> None:
    """Add weighted tensors to totals, in place."""
    for name, value in parts.items():
        totals[name] = totals[name].add(value, alpha=weight) if name in totals else weight * value


def _leaves(tensors: Mapping[str, Tensor]) -> Tensors:
    return {name: value.detach().requires_grad_() for name, value in tensors.items()}


def _vector_jacobian(outputs: list[tuple[Tensor, Tensor]], groups: list[dict[Any, Tensor]]) -> list[dict[Any, Tensor]]:
    """Return the vector-Jacobian products of outputs by groups of inputs; without those that are zero."""
    inputs = [value for group in groups for value in group.values() if value.requires_grad]
    if not outputs or not inputs:
        return [{} for _ in groups]
    values, along = zip(*outputs, strict=True)
    result = iter(torch.autograd.grad(values, inputs, along, allow_unused=True))
    by_group = []
    for group in groups:
        derivatives = {key: next(result) for key, value in group.items() if value.requires_grad}
        by_group.append({key: value for key, value in derivatives.items() if value is not None})
    return by_group
