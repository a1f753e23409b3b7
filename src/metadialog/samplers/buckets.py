"""Division of a batch into buckets by length, to save padding.

A recurrent layer takes as many steps as the longest exchange of a batch has tokens, and each step costs about as much
as `MIN_ROWS` more exchanges would. Buckets therefore pay off for many exchanges of different lengths, but not for few.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

MOST_PADDING = 0.25
"""Batches with at most this share of padding are not divided."""

MOST_BUCKETS = 4
MIN_ROWS = 16

Integers = npt.NDArray[np.integer[Any]]


def buckets(lengths: Integers) -> list[Integers]:
    """Return the rows of a batch in buckets by length; empty if dividing it saves nothing.

    Buckets are divided one by one where it saves most, until at most `MOST_PADDING` is padding.

    Args:
        lengths: number of input tokens of each exchange, `[batch]`.
    """
    order = np.argsort(lengths, kind="stable")
    ascending = lengths[order]
    bounds = [0, len(ascending)]
    while _padding(ascending, bounds) > MOST_PADDING and len(bounds) <= MOST_BUCKETS:
        saved, cut = max(_best_cut(ascending, start, end) for start, end in pairwise(bounds))
        if not saved:
            break
        bounds = sorted([*bounds, cut])
    rows: list[Integers] = [np.sort(order[start:end]) for start, end in pairwise(bounds)]
    return rows if len(rows) > 1 else []


def _padding(ascending: Integers, bounds: list[int]) -> float:
    """Return the share of padding in buckets of ascending lengths."""
    cells = sum(int(ascending[end - 1]) * (end - start) for start, end in pairwise(bounds))
    return 1 - int(ascending.sum()) / cells


def _best_cut(ascending: Integers, start: int, end: int) -> tuple[int, int]:
    """Return the number of padding tokens saved by the best division of a bucket, and its position."""
    boundaries = np.arange(start + MIN_ROWS, end - MIN_ROWS + 1)
    if not len(boundaries):
        return 0, start
    saved = (ascending[end - 1] - ascending[boundaries - 1]) * (boundaries - start)
    best = int(np.argmax(saved))
    return int(saved[best]), int(boundaries[best])
