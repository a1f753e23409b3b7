"""Dropout of several tasks in one pass: the very units that the reference drops after the same seed.

`torch.func.vmap` draws no random numbers for each task. So the masks are drawn outside of it, task by task, in the
order and in the shapes in which the reference draws them.
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
"""Where units are dropped: the width, and the probability."""


class Draws:
    """The masks of some tasks, drawn anew whenever a pass asks for them: so they take no memory between passes.

    Args:
        model: its dropout.
        levels: of the tasks, support and query.
        inner: the inner loop, which says in which order there are passes.
        seeds: of the meta-batch.
        numbers: of the tasks, by which each has its seed.

    Raises:
        RuntimeError: units are dropped elsewhere than in features of tokens.
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
            # Which unit gets which random number depends on the strides, so they are those that the model has there.
            by_time = index in self.time_major
            ones = self.like.new_ones(*(time, count) if by_time else (count, time), width)
            drawn.append(dropout(ones.transpose(0, 1) if by_time else ones, probability))
        return drawn


def draws_of(
    model: nn.Module, support: Level, query: Level, inner: InnerLoop, seeds: TaskSeeds, numbers: Sequence[int]
) -> Draws | None:
    """Return the masks of some tasks; None where nothing is dropped, or in a way that is not known."""
    known = all(isinstance(level.stacked, Mapping) and "at" in level.stacked for level in (support, query))
    if not drops(model) or not known:
        return None
    return Draws(model, {"support": support, "query": query}, inner, seeds, numbers)


@contextmanager
def dropping(model: nn.Module, drop: Callable[[Tensor, float], Tensor]) -> Iterator[None]:
    """Let the dropout of a model be a function of features and probability meanwhile."""
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
    """Let a model compute what it does without dropout meanwhile, in its mode of training."""
    with dropping(model, lambda features, _: features):
        yield


def _drop(drop: Callable[[Tensor, float], Tensor], probability: float, features: Tensor) -> Tensor:
    return drop(features, probability)


def _sites(model: nn.Module, level: Level) -> list[Site]:
    """Find, by a pass over one task, where units are dropped."""
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
    """Return the batches of a task's set, as `mean_token_loss` goes through them."""
    batch: Batch = level.parts[task][0][0]
    return batch.buckets or (batch,)
