"""Support and query levels of dialogue tasks, stacked if the loss allows it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map

from metadialog.engines.base import InnerLoop, Objective, support_of
from metadialog.engines.functional.cross_entropy import token_cross_entropy
from metadialog.engines.functional.levels import Level
from metadialog.engines.support import passes
from metadialog.episodes import Batch, Episode
from metadialog.models.loss import mean_token_loss
from metadialog.models.protocol import at_positions
from metadialog.token_ids import PAD_ID


def levels_of(
    model: nn.Module, objective: Objective, episodes: Sequence[Episode], inner: InnerLoop
) -> tuple[Level, Level]:
    """Return the levels of support and query sets.

    Args:
        model: the dialogue model.
        objective: the outer loss, and also the inner one if the inner loop has none of its own.
        episodes: the tasks.
        inner: the inner loop.
    """
    queries = [episode.query for episode in episodes]
    return (
        level_of(model, objective, [support_of(episode) for episode in episodes], inner),
        _level(model, objective, queries, [[(query, 1.0)] for query in queries]),
    )


def level_of(model: nn.Module, objective: Objective, supports: Sequence[Batch], inner: InnerLoop) -> Level:
    """Return the level of support sets; see `levels_of`."""
    parts = [list(passes(support, inner.rule.chunk)) for support in supports]
    return _level(model, inner.support_objective or objective, supports, parts)


def _level(
    model: nn.Module, loss: Objective, batches: Sequence[Batch], parts: Sequence[Sequence[tuple[Batch, float]]]
) -> Level:
    if any(len(of_task) > 1 for of_task in parts):  # limited memory
        return Level(loss, parts)
    if loss is mean_token_loss:
        stacked = stack(batches)
        return Level(loss, parts, _token_loss, stacked, partial(static_shapes, model, stacked["inputs"]))
    bare = [{name: getattr(batch, name) for name in ("inputs", "targets", "mask", "words")} for batch in batches]
    together = stack_alike(bare)  # another loss may not ignore padding
    if together is None:
        return Level(loss, parts)
    shapes = partial(static_shapes, model, together["inputs"])
    return Level(loss, parts, lambda module, data: loss(module, Batch(**data)), together, shapes)


def stack_alike(data: Sequence[Any]) -> Any:  # noqa: ANN401 - same structure as the data
    """Stack nested structures of tensors, `[tasks, ...]`; None if they differ in structure or shapes."""
    flat = [tree_flatten(of_task) for of_task in data]
    (first, spec), *others = flat
    shapes = [value.shape for value in first if isinstance(value, Tensor)]
    if len(shapes) != len(first):
        return None
    for leaves, structure in others:
        if structure != spec or [getattr(leaf, "shape", None) for leaf in leaves] != shapes:
            return None
    return tree_map(lambda *leaves: torch.stack(leaves), *data)


def stack(batches: Sequence[Batch]) -> dict[str, Tensor]:
    """Stack one batch of every task, for `mean_token_loss` and for scores.

    Batches are padded with copies of a task's first row, and with padding in time; neither counts.

    Returns:
        `inputs`, `[tasks, batch, time]`, and of the counted tokens the positions `at` in `batch * time`, the `targets`
        and the `weights` in the task's mean, `[tasks, counted]`, padded with zeros.
    """
    rows, time = (max(batch.inputs.shape[dim] for batch in batches) for dim in (0, 1))
    counted = max(1, *(int(batch.mask.sum()) for batch in batches)) if len(batches) > 1 else 0
    counted = counted or max(1, int(batches[0].mask.sum()))
    first = batches[0].inputs
    inputs = first.new_full((len(batches), rows, time), PAD_ID)
    at, targets = (first.new_zeros(len(batches), counted) for _ in range(2))
    weights = torch.zeros(len(batches), counted, device=first.device, dtype=torch.float64)
    for task, batch in enumerate(batches):
        height, width = batch.inputs.shape
        inputs[task, :height, :width] = batch.inputs
        inputs[task, height:, :width] = batch.inputs[:1]
        row, column = batch.mask.nonzero(as_tuple=True)
        at[task, : len(row)] = row * time + column
        targets[task, : len(row)] = batch.targets[row, column]
        weights[task, : len(row)] = 1 / len(row)
    return {"inputs": inputs, "at": at, "targets": targets, "weights": weights}


def counted_logits(model: nn.Module, data: Mapping[str, Tensor]) -> Tensor:
    """Return the logits of a task's counted tokens, `[counted, vocab]`."""
    if getattr(model, "predicts_at", False):
        logits: Tensor = model(data["inputs"], at=data["at"])[0]
        return logits
    return at_positions(model(data["inputs"])[0], data["at"])


def _token_loss(model: nn.Module, data: dict[str, Tensor]) -> Tensor:
    """Return `mean_token_loss` of a stacked task."""
    losses = token_cross_entropy(counted_logits(model, data), data["targets"])
    return (losses * data["weights"].to(losses.dtype)).sum()


@contextmanager
def static_shapes(model: nn.Module, tokens: Tensor) -> Iterator[None]:
    """Use the same data-dependent shapes for all tasks within the context; `tokens` is `[tasks, batch, time]`."""
    with ExitStack() as stack:
        for part in model.modules():
            enter: Callable[[Tensor], AbstractContextManager[None]] | None = getattr(part, "static_shapes", None)
            if enter is not None:
                stack.enter_context(enter(tokens.flatten(0, -2)))
        yield
