"""A meta-batch as stacked tensors: padded to one size, reduced to the counted tokens and the rows that are used."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils._pytree import register_dataclass

from metadialog.engines.stacked.cross_entropy import Targets
from metadialog.episodes import Batch


@dataclass(frozen=True, slots=True)
class StackedBatch:
    """The support or the query sets of all tasks, padded to the largest.

    Attributes:
        tokens: rows of the tasks' embeddings, int64, `[tasks, time, batch]`.
        counted: positions of the counted tokens in `time * batch` of all tasks, int64, `[tasks * rows]`; a task with
            fewer than `rows` is padded with tokens of weight 0. None if every token counts.
        positions: the inverse, the position of each token among the counted ones, `tasks * rows` for tokens that do not
            count, int64, `[tasks * time * batch]`. None if every token counts.
        targets: targets of the counted tokens, `[tasks, rows]`.
    """

    tokens: Tensor
    counted: Tensor | None
    positions: Tensor | None
    targets: Targets

    def reduce(self, x: Tensor) -> Tensor:
        """Select the features of the counted tokens: `[tasks, time, batch, width]` to `[tasks, rows, width]`."""
        tasks, _, _, width = x.shape
        if self.counted is None:
            return x.flatten(1, 2)
        return x.reshape(-1, width).index_select(0, self.counted).view(tasks, -1, width)

    def expand(self, x: Tensor) -> Tensor:
        """Put the features of the counted tokens back, with zeros elsewhere: the transpose of `reduce`."""
        if self.positions is None:
            return x.view(*self.tokens.shape, x.shape[-1])
        rows = torch.nn.functional.pad(x.flatten(0, 1), (0, 0, 0, 1))
        return rows.index_select(0, self.positions).view(*self.tokens.shape, x.shape[-1])


register_dataclass(StackedBatch)


def rounded_up(count: int) -> int:
    """Round up to 1, 2, 3, 4, 6, 8, 12, 16, ...: few different sizes, with little padding."""
    step = 1 << max(0, count.bit_length() - 2)
    return -(-count // step) * step


def sizes_of(batches: Sequence[Batch], *, rounded: bool) -> tuple[int, int]:
    """Return the number of rows, and of tokens per row, that the sets of all tasks are padded to."""
    rows, time = (max(batch.inputs.shape[dim] for batch in batches) for dim in (0, 1))
    return (rounded_up(rows), rounded_up(time)) if rounded else (rows, time)


def touched_rows(
    batches: Sequence[Sequence[Batch]], vocab_size: int, *, rounded: bool = False
) -> tuple[Tensor, list[list[Tensor]]]:
    """Number the token ids that each task uses.

    Args:
        batches: all batches of each task.
        vocab_size: number of token ids.
        rounded: whether to pad to a rounded size.

    Returns:
        The token ids of each task, padded with 0, `[tasks, ids]`, and for each batch of each task the position of every
        token among the task's ids, `[batch, time]`.
    """
    used = torch.zeros(len(batches), vocab_size, dtype=torch.bool, device=batches[0][0].inputs.device)
    for task, sets in enumerate(batches):
        for batch in sets:
            used[task, batch.inputs.flatten()] = True
    positions = used.cumsum(1) - 1
    tasks, ids = used.nonzero(as_tuple=True)
    most = int(positions.max()) + 1
    rows = ids.new_zeros(len(batches), rounded_up(most) if rounded else most)
    rows[tasks, positions[tasks, ids]] = ids
    return rows, [[position[batch.inputs] for batch in sets] for position, sets in zip(positions, batches, strict=True)]


def stack(
    batches: Sequence[Batch], tokens: Sequence[Tensor], dtype: torch.dtype, *, rounded: bool = False
) -> StackedBatch:
    """Stack one batch of every task.

    Args:
        batches: batch of each task, `[batch, time]` of any size.
        tokens: rows to look up for each input of each task, in the shape of `inputs`.
        dtype: data type of the weights of the losses.
        rounded: whether to pad to rounded sizes.
    """
    count, time = sizes_of(batches, rounded=rounded)

    def together(parts: Sequence[Tensor]) -> Tensor:  # of [batch, time] -> [tasks, time, batch]
        if all(part.shape == (count, time) for part in parts):
            return torch.stack(list(parts)).transpose(1, 2).contiguous()
        whole = parts[0].new_zeros(len(parts), time, count)
        for index, part in enumerate(parts):
            whole[index, : part.shape[1], : part.shape[0]] = part.t()
        return whole

    mask = together([batch.mask for batch in batches]).flatten(1)  # [tasks, time * batch]
    targets = together([batch.targets for batch in batches]).flatten(1)
    counts = mask.sum(1)
    weights = mask.to(dtype) / counts[:, None]
    inputs = together(tokens)
    if bool(mask.all()) and not rounded:
        return StackedBatch(inputs, None, None, Targets(targets, weights))
    most = int(counts.max())
    rows = min(rounded_up(most), mask.shape[1]) if rounded else most
    # Counted tokens first, in a stable order, so that the same batch gives the same sums.
    order = torch.argsort(mask.to(torch.uint8), dim=1, descending=True, stable=True)[:, :rows]
    offsets = torch.arange(len(batches), device=mask.device)[:, None]
    positions = torch.full_like(mask, len(batches) * rows, dtype=torch.int64)
    ranks = mask.cumsum(1) - 1 + offsets * rows
    positions[mask] = ranks[mask]
    return StackedBatch(
        inputs,
        (order + offsets * mask.shape[1]).flatten(),
        positions.flatten(),
        Targets(targets.gather(1, order), weights.gather(1, order)),
    )
