"""Dropout of several tasks in one pass, with the same masks as the reference engine for the same seed.

`torch.func.vmap` cannot draw random numbers for each task from its own seed. The masks are therefore drawn outside of
it, task by task, in the order and the shapes in which the reference draws them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from metadialog.engines.base import InnerLoop
from metadialog.engines.functional.levels import Level, stacked_losses
from metadialog.episodes import Batch
from metadialog.randomness import TaskSeeds, drops, random_state, set_random_state

Site = tuple[int, float]
"""A dropout site: width and probability."""


class Draws:
    """The masks of several tasks, drawn anew for each pass, so that they take no memory between passes.

    Args:
        model: the model with dropout.
        levels: levels of the tasks, support and query.
        inner: the inner loop, which determines the order of passes.
        seeds: seeds of the meta-batch.
        numbers: numbers of the tasks, which determine their seeds.

    Raises:
        RuntimeError: dropout is applied to something other than features of tokens.
    """

    def __init__(
        self,
        model: nn.Module,
        levels: Mapping[str, Level],
        inner: InnerLoop,
        seeds: TaskSeeds,
        numbers: Sequence[int],
    ) -> None:
        self.levels = levels
        self.sites = _sites(model, levels["query"])
        self.time_major: frozenset[int] = getattr(model, "time_major_dropout", frozenset())
        self.like = next(model.parameters()).detach()
        self._states: dict[tuple[str, int, int], tuple[Tensor, ...]] = {}
        for task, number in enumerate(numbers):
            with seeds.of(number):
                for kind, step in _passes(inner):
                    self._states[kind, step, task] = random_state()
                    for part in _parts(levels[kind], task):
                        self._draw(part)

    def of(self, kind: str, step: int) -> list[Tensor]:
        """Return the masks of a pass, in the order in which the model drops: 0 or `1 / (1 - p)`, `[tasks, ...]`."""
        inputs = self.levels[kind].stacked["inputs"]  # [tasks, batch, time]
        masks = [self.like.new_zeros(*inputs.shape, width) for width, _ in self.sites]
        before = random_state()
        for task in range(len(inputs)):
            set_random_state(self._states[kind, step, task])
            for part in _parts(self.levels[kind], task):
                count, time = part.inputs.shape
                rows = torch.arange(count, device=inputs.device) if part.rows is None else part.rows
                for mask, drawn in zip(masks, self._draw(part), strict=True):
                    mask[task, rows, :time] = drawn
        set_random_state(before)
        return masks

    def _draw(self, part: Batch) -> list[Tensor]:
        """Draw the masks of one forward pass of a task."""
        count, time = part.inputs.shape
        drawn = []
        for index, (width, probability) in enumerate(self.sites):
            # The assignment of random numbers depends on the strides, so they are the same as in the model.
            by_time = index in self.time_major
            ones = self.like.new_ones(*(time, count) if by_time else (count, time), width)
            drawn.append(dropout(ones.transpose(0, 1) if by_time else ones, probability))
        return drawn


def draws_of(
    model: nn.Module, support: Level, query: Level, inner: InnerLoop, seeds: TaskSeeds, numbers: Sequence[int]
) -> Draws | None:
    """Return the masks of several tasks; None without dropout, or with an unsupported kind of it."""
    known = all(isinstance(level.stacked, Mapping) and "at" in level.stacked for level in (support, query))
    if not drops(model) or not known:
        return None
    return Draws(model, {"support": support, "query": query}, inner, seeds, numbers)


@contextmanager
def dropping(model: nn.Module, drop: Callable[[Tensor, float], Tensor]) -> Iterator[None]:
    """Replace the dropout of a model by a function of features and probability within the context."""
    layers = [part for part in model.modules() if type(part) is nn.Dropout and part.training and part.p > 0]
    for layer in layers:
        layer.forward = partial(_drop, drop, layer.p)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


@contextmanager
def dropping_nothing(model: nn.Module) -> Iterator[None]:
    """Disable the dropout of a model within the context, without changing its mode."""
    with dropping(model, lambda features, _: features):
        yield


def _drop(drop: Callable[[Tensor, float], Tensor], probability: float, features: Tensor) -> Tensor:
    return drop(features, probability)


def _sites(model: nn.Module, level: Level) -> list[Site]:
    """Find the dropout sites by a pass over one task."""
    one = level.of(slice(0, 1))
    size = one.stacked["inputs"].shape[1:]
    sites: list[Site] = []

    def note(features: Tensor, probability: float) -> Tensor:
        if features.shape[:-1] != size:
            raise RuntimeError(f"vmap: dropout of {list(features.shape)}, which are not the features of {list(size)}")
        sites.append((features.shape[-1], probability))
        return features

    with torch.no_grad(), dropping(model, note):
        parameters = {name: value.detach()[None] for name, value in model.named_parameters()}
        stacked_losses(model, one, parameters, {})
    return sites


def _passes(inner: InnerLoop) -> Iterator[tuple[str, int]]:
    """Yield the passes of a task in the order in which the reference makes them."""
    for step in range(inner.steps + 1):
        if inner.query_weight(step):
            yield "query", step
        if step < max(1, inner.steps):
            yield "support", step


def _parts(level: Level, task: int) -> Sequence[Batch]:
    """Return the batches of a task's set, in the order of `mean_token_loss`."""
    batch: Batch = level.parts[task][0][0]
    return batch.buckets or (batch,)
