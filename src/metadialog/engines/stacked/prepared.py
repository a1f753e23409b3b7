"""Preparation of a meta-batch for a sweep: everything that depends on values of tensors is computed here, on the CPU.

The sweep itself then only sends operations to the device, whose shapes depend only on those of its arguments.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import register_dataclass, tree_map

from metadialog.engines.base import InnerLoop, support_of
from metadialog.engines.stacked import dropout
from metadialog.engines.stacked.dropout import Masks
from metadialog.engines.stacked.tasks import StackedBatch, stack, touched_rows
from metadialog.episodes import Batch, Episode
from metadialog.models.rnn import DialogModel
from metadialog.randomness import TaskSeeds


@dataclass(frozen=True, slots=True)
class Sets:
    """The inputs of a sweep.

    Attributes:
        support: the support sets.
        query: the query sets.
        rows: the token ids that each task uses, `[tasks, ids]`, if its embedding is reduced to them.
        masks: dropout masks of each pass, by set and the number of inner steps before it.
    """

    support: StackedBatch
    query: StackedBatch
    rows: Tensor | None
    masks: dict[tuple[str, int], Masks]


register_dataclass(Sets)


def prepare(
    model: DialogModel, episodes: Sequence[Episode], inner: InnerLoop, seeds: TaskSeeds, *, rounded: bool = False
) -> Sets:
    """Stack the sets of some tasks, and draw their dropout masks.

    Args:
        model: the model, whose embedding, dropout, dtype and device are used.
        episodes: the tasks.
        inner: the inner loop, which determines the order of passes.
        seeds: seeds of the meta-batch.
        rounded: whether to pad to rounded sizes, so that many meta-batches have the same shapes.
    """
    weight = model.linear.weight
    supports, queries = [support_of(episode) for episode in episodes], [episode.query for episode in episodes]
    both = on_host([*supports, *queries])
    here, asked = both[: len(supports)], both[len(supports) :]
    tokens, rows = [[batch.inputs for batch in here], [batch.inputs for batch in asked]], None
    if model.embed.weight is not weight:
        rows, of_tasks = touched_rows(list(zip(here, asked, strict=True)), model.embed.num_embeddings, rounded=rounded)
        tokens = [list(of_set) for of_set in zip(*of_tasks, strict=True)]
    support = stack(here, tokens[0], weight.dtype, rounded=rounded)
    query = stack(asked, tokens[1], weight.dtype, rounded=rounded)
    passes = _passes(inner)
    sets = {"support": supports, "query": queries}
    numbers = [episode.index for episode in episodes]
    masks = dropout.draw(model, [sets[of_set] for of_set, _ in passes], seeds, numbers, rounded=rounded)
    ready = moved(Sets(support, query, rows, {}), weight.device)
    return replace(ready, masks=dict(zip(passes, masks, strict=True)))


def _passes(inner: InnerLoop) -> list[tuple[str, int]]:
    """Return the passes of a task in the order in which the reference engine makes them."""
    passes = []
    for step in range(inner.steps + 1):
        if inner.query_weight(step):
            passes.append(("query", step))
        if step < max(1, inner.steps):
            passes.append(("support", step))
    return passes


def on_host(batches: Sequence[Batch]) -> list[Batch]:
    """Return batches on the CPU; those on another device are copied together."""
    if batches[0].inputs.device.type == "cpu":
        return list(batches)
    parts = [part for batch in batches for part in (batch.inputs, batch.targets, batch.mask)]
    sizes = [part.numel() for part in parts]
    copied = iter(torch.cat([part.flatten().to(torch.int64) for part in parts]).cpu().split(sizes))  # type: ignore[no-untyped-call]
    results = []
    for batch in batches:
        inputs, targets, mask = (next(copied).view(batch.inputs.shape) for _ in range(3))
        results.append(Batch(inputs, targets, mask.bool(), batch.words))
    return results


Moved = TypeVar("Moved", Sets, StackedBatch)


def moved(value: Moved, device: torch.device) -> Moved:
    """Copy the tensors of a structure to a device asynchronously."""
    if device.type != "cuda":
        return tree_map(lambda leaf: leaf.to(device) if isinstance(leaf, Tensor) else leaf, value)  # type: ignore[no-any-return]

    def sent(leaf: object) -> object:
        return leaf.pin_memory().to(device, non_blocking=True) if isinstance(leaf, Tensor) else leaf

    return tree_map(sent, value)  # type: ignore[no-any-return]
