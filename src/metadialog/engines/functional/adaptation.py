"""Adaptation to several tasks at once without a meta-gradient, and the adapted models."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import vmap

from metadialog.engines.base import InnerLoop, Objective
from metadialog.engines.functional.batches import counted_logits, level_of, stack, static_shapes
from metadialog.engines.functional.derivatives import Derivatives
from metadialog.engines.functional.levels import Level, call_with, twice_differentiable
from metadialog.engines.functional.sweep import Problem, Sweep
from metadialog.engines.graphs import Graphs
from metadialog.engines.stacked import sweep as stacked
from metadialog.engines.stacked.meta_gradient import Rates, obstacle, recipe, start_of
from metadialog.engines.stacked.network import Weights
from metadialog.engines.stacked.prepared import Sets, prepare
from metadialog.episodes import Batch, Episode
from metadialog.models.cells import plain_layers, reading
from metadialog.models.protocol import BaseModel, map_state, reads_at_once
from metadialog.models.recurrence import State
from metadialog.models.rnn import DialogModel
from metadialog.randomness import TaskSeeds, drops


class SideBySide:
    """The models of several tasks: one module with stacked parameters.

    Attributes:
        model: supplies the functions, and the parameters that the tasks share.
        parameters: stacked parameters of the tasks, `[tasks, ...]`, by name; missing ones are those of the model.
        tasks: number of tasks.
    """

    def __init__(self, model: nn.Module, parameters: Mapping[str, Tensor], tasks: int) -> None:
        self.model = model
        self.parameters = parameters
        self.tasks = tasks

    def one(self, task: int) -> nn.Module:
        """Return the model of one task, as a copy; the model itself if it has not been adapted."""
        if not self.parameters:
            return self.model
        alone = copy.deepcopy(self.model)
        with torch.no_grad():
            for name, value in self.parameters.items():
                alone.get_parameter(name).copy_(value[task])
        return alone

    def scores(self, batches: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        """Score each task's model on its own batch.

        Returns:
            The sum of the counted tokens' negative log-likelihoods, nats, and the number of these tokens that are the
            most likely prediction, both `[tasks]`.

        Raises:
            RuntimeError: `vmap` does not support an operation of the model.
        """
        data = stack(batches)

        def of_task(parameters: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Tensor:
            return cast("Tensor", call_with(self.model, parameters, lambda module: counted_logits(module, own)))

        with torch.no_grad(), static_shapes(self.model, data["inputs"]), plain_layers(self.model):
            logits: Tensor = vmap(of_task)(dict(self.parameters), data)  # [tasks, counted, vocab]
        counts = data["weights"] > 0
        losses = nn.functional.cross_entropy(logits.flatten(0, 1), data["targets"].flatten(), reduction="none")
        hits = (logits.argmax(-1) == data["targets"]) & counts
        return (losses.view_as(counts) * counts).sum(1), hits.sum(1)

    def speaker(self, rows: Sequence[int]) -> "Speaker":
        """Return the tasks' models as one model whose rows belong to several tasks, for generation.

        Args:
            rows: number of prompts of each task, in the order of the tasks.
        """
        of_rows = torch.repeat_interleave(torch.arange(self.tasks), torch.tensor(list(rows)))
        return Speaker(self, of_rows.to(next(self.model.parameters()).device))


class Speaker(BaseModel):
    """The models of several tasks as one `DialogueModel`, where each input row belongs to a task.

    A state holds that of the rows, `[any, rows, any]`, and the task of each row, `[1, rows, 1]`.

    Args:
        models: the models.
        tasks: task of each row, in ascending order, `[rows]`.
    """

    def __init__(self, models: SideBySide, tasks: Tensor) -> None:
        super().__init__()
        self.models = models
        self.tasks = tasks
        self.first = next(models.model.parameters())  # so that the device can be read from `parameters()`
        self.eval()

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Predict the token after each token; see `DialogueModel.forward`."""
        inner, tasks = (None, self.tasks) if state is None else (state[0], cast("Tensor", state[1])[0, :, 0])
        rows, positions, most = self._laid_out(tasks)
        laid_out = tokens[rows].view(self.models.tasks, most, -1)

        def together(part: Tensor) -> Tensor:  # [any, rows, any] -> [tasks, any, rows of a task, any]
            return part.index_select(1, rows).unflatten(1, (self.models.tasks, most)).transpose(0, 1)  # type: ignore[no-untyped-call,no-any-return]

        def of_task(parameters: Mapping[str, Tensor], own: Tensor, *begun: State) -> tuple[Tensor, State]:
            results: tuple[Tensor, State] = call_with(self.models.model, parameters, lambda module: module(own, *begun))
            return results

        begun = () if inner is None else (map_state(together, inner),)
        with static_shapes(self.models.model, laid_out), plain_layers(self.models.model):
            logits, after = vmap(of_task)(dict(self.models.parameters), laid_out, *begun)
        going_on = map_state(lambda part: _apart(part, positions), after)
        return logits.flatten(0, 1).index_select(0, positions), (going_on, tasks[None, :, None])

    def read(self, tokens: Tensor, lengths: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read prompts, in one pass if the model ignores padding; see `DialogueModel.read`."""
        model, (rows, positions, most) = self.models.model, self._laid_out(self.tasks)
        if state is not None or not reads_at_once(model):
            return super().read(tokens, lengths, state)
        inputs = tokens[rows].view(self.models.tasks, most, -1)
        ends = lengths[rows].view(self.models.tasks, most)

        def of_task(parameters: Mapping[str, Tensor], own: Tensor, end: Tensor) -> tuple[Tensor, State]:
            at = torch.arange(most, device=end.device) * own.shape[1] + end - 1
            with reading(end):
                results: tuple[Tensor, State] = call_with(model, parameters, lambda module: module(own, None, at))
            return results

        with static_shapes(model, inputs), plain_layers(model):
            logits, after = vmap(of_task)(dict(self.models.parameters), inputs, ends)
        begun = map_state(lambda part: _apart(part, positions), after)
        return logits.flatten(0, 1).index_select(0, positions), (begun, self.tasks[None, :, None])

    def _laid_out(self, tasks: Tensor) -> tuple[Tensor, Tensor, int]:
        """Return the row at each of `tasks * most` positions, the position of each row, and the most rows of a task."""
        counts = torch.bincount(tasks, minlength=self.models.tasks)
        most = int(counts.max())
        before = counts.cumsum(0) - counts
        numbers = torch.arange(len(tasks), device=tasks.device)
        positions = numbers - before[tasks] + tasks * most
        rows = tasks.new_zeros(self.models.tasks * most).scatter(0, positions, numbers)
        return rows, positions, most


def _apart(part: Tensor, positions: Tensor) -> Tensor:
    """Return `[tasks, any, rows of a task, any]` as `[any, rows, any]`."""
    return part.transpose(0, 1).flatten(1, 2).index_select(1, positions)


def adapt_together(
    model: nn.Module,
    objective: Objective,
    supports: Sequence[Batch],
    inner: InnerLoop,
    graphs: Graphs | None = None,
) -> Iterator[SideBySide]:
    """Yield the models after 0, 1, ..., `inner.steps` inner steps, each on its own support set.

    Equal to `Engine.adapt` of each, up to rounding. No graph is kept.

    Raises:
        RuntimeError: `vmap` does not support an operation of the model or of the objective.
    """
    yield side_by_side(model, len(supports))  # the model's weights, without a copy for each task
    if obstacle(model, objective, inner) is None and not drops(model):
        yield from _by_kernels(cast("DialogModel", model), supports, inner, graphs)
        return
    level: Level = level_of(model, objective, supports, inner)
    if level.stacked is None:
        raise RuntimeError("vmap: the support sets are processed in parts, or have different shapes")
    sweep = Sweep(Problem(model, level, level, inner, Derivatives()), len(supports), at_once=True, slots=0)
    state = sweep.begin()
    for step in range(inner.steps):
        with twice_differentiable():
            state = sweep.advance(step, state)
        yield SideBySide(model, state.parameters, len(supports))


def _by_kernels(
    model: DialogModel, supports: Sequence[Batch], inner: InnerLoop, graphs: Graphs | None
) -> Iterator[SideBySide]:
    """Yield the models after 1, ..., `inner.steps` steps, with hand-written gradients."""
    episodes = [Episode("", task, support, support, (), (), ()) for task, support in enumerate(supports)]
    by_graph = graphs is not None and graphs.take(model.linear.weight.device)
    keeping = stacked.Keeping(tapes=False, weights=0)
    with torch.no_grad():
        sets = prepare(model, episodes, inner, TaskSeeds(), rounded=by_graph)
    start, rows = start_of(model), sets.rows
    sweep = stacked.Sweep(model, inner, keeping, sets)
    weights: Mapping[str, Tensor] = sweep.start

    def advanced(step: int, argument: tuple[Sets, Weights, Weights, Rates]) -> Weights:
        sets, start, weights, rates = argument
        return stacked.Sweep(model, replace(inner, rates=rates), keeping, sets, start).advance(step, weights)

    for step in range(inner.steps):
        with torch.no_grad():
            if graphs is None or not by_graph:
                weights = sweep.advance(step, weights)
            else:
                key = "adaptation", *recipe(model, inner), inner.rates_at(step)
                weights = graphs.call(key, partial(advanced, step), (sets, start, weights, inner.rates))
            parameters = {name: weights[name] for name in sweep.adapted}
            if rows is not None and stacked.EMBEDDING in parameters:
                parameters[stacked.EMBEDDING] = _whole_embedding(model, parameters[stacked.EMBEDDING], rows)
        yield SideBySide(model, parameters, len(supports))


def _whole_embedding(model: DialogModel, touched: Tensor, rows: Tensor) -> Tensor:
    """Return each task's embedding, `[tasks, ids, width]`, given the rows that have changed.

    Padding of `rows` repeats an id, with an unchanged row.

    Args:
        model: supplies the other rows.
        touched: changed rows, `[tasks, touched, width]`.
        rows: their ids, ascending, padded with 0, `[tasks, touched]`.
    """
    embedding = model.get_parameter(stacked.EMBEDDING).detach()
    whole = embedding.expand(len(rows), *embedding.shape).clone()
    changes = touched - embedding[rows]
    return whole.scatter_add_(1, rows[..., None].expand_as(changes), changes)


def side_by_side(model: nn.Module, tasks: int) -> SideBySide:
    """Return an unadapted model as the models of several tasks."""
    return SideBySide(model, {}, tasks)
