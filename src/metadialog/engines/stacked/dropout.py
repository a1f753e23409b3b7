"""Dropout masks, drawn before the forward passes from a seed for each task.

An engine that runs all tasks at once thus drops the same units as the reference for the same seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import dropout
from torch.utils._pytree import register_dataclass

from metadialog.engines.stacked.tasks import sizes_of
from metadialog.episodes import Batch
from metadialog.models.rnn import DialogModel
from metadialog.randomness import TaskSeeds


@dataclass(frozen=True, slots=True)
class Masks:
    """Factors of the units, 0 or `1 / (1 - p)`, `[tasks, time, batch, width]`; None for no dropout.

    Attributes:
        inputs: masks of the inputs of each recurrent layer.
        output: mask of the last layer's output.
    """

    inputs: tuple[Tensor | None, ...]
    output: Tensor | None


register_dataclass(Masks)


def draw(
    model: DialogModel,
    passes: Sequence[Sequence[Batch]],
    seeds: TaskSeeds,
    numbers: Sequence[int],
    *,
    rounded: bool = False,
) -> list[Masks]:
    """Draw the masks of some passes over all tasks, task by task.

    Args:
        model: the model; its dropout, widths, dtype and device are used.
        passes: batch of each task in each pass.
        seeds: seeds of the meta-batch.
        numbers: numbers of the tasks, which determine their seeds.
        rounded: whether the batches are padded to rounded sizes.

    Returns:
        The masks of each pass, padded to its largest batch.
    """
    layers = model.rnn.num_layers
    sites = _sites(model) if model.training else []
    if not sites:
        return [Masks((None,) * layers, None)] * len(passes)
    like = model.linear.weight
    results = []
    for batches in passes:
        exchanges, tokens = sizes_of(batches, rounded=rounded)
        size = (len(batches), tokens, exchanges)
        results.append({site: like.new_zeros(*size, width) for site, width, _ in sites})
    for task, name in enumerate(numbers):
        with seeds.of(name):
            for masks, batches in zip(results, passes, strict=True):
                for part in batches[task].buckets or (batches[task],):  # in the order of `mean_token_loss`
                    _draw_part(masks, task, part, layers, sites, like)
    return [Masks(tuple(of.get(layer) for layer in range(layers)), of.get(layers)) for of in results]


def _draw_part(
    masks: dict[int, Tensor],
    task: int,
    part: Batch,
    layers: int,
    sites: Sequence[tuple[int, int, float]],
    like: Tensor,
) -> None:
    """Draw the masks of one forward pass of a task, site by site; `layers` is the number of the last site."""
    exchanges, tokens = part.inputs.shape
    rows = torch.arange(exchanges, device=like.device) if part.rows is None else part.rows
    for site, width, probability in sites:
        # The assignment of random numbers depends on shape and strides, so both are the same as in the model.
        if site == 0:  # embeddings, [batch, time, width]
            drawn = dropout(like.new_ones(exchanges, tokens, width), probability).transpose(0, 1)
        elif site == layers:  # [batch, time, width] too, but with time first in memory
            drawn = dropout(like.new_ones(tokens, exchanges, width).transpose(0, 1), probability).transpose(0, 1)
        else:  # between layers, [time, batch, width]
            drawn = dropout(like.new_ones(tokens, exchanges, width), probability)
        masks[site][task, :tokens, rows] = drawn


def _sites(model: DialogModel) -> list[tuple[int, int, float]]:
    """Return the dropout sites in the order of the forward pass: number, width and probability."""
    hidden, layers = model.rnn.hidden_size, model.rnn.num_layers
    between = [(layer, hidden, model.rnn.dropout) for layer in range(1, layers)]
    sites = [(0, model.rnn.input_size, model.drop.p), *between, (layers, hidden, model.drop.p)]
    return [site for site in sites if site[2] > 0]
