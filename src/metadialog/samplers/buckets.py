"""A batch in a few batches by length, where padding to the longest would be much of it.

A recurrent layer takes as many steps as the longest exchange of a batch has tokens, and each step costs about as
much as `MIN_ROWS` exchanges more would: so more batches pay where exchanges are many and of different lengths, and
not where they are few.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

MOST_PADDING = 0.25
"""Batches with no more padding than this are left as they are."""

MOST_BUCKETS = 4
MIN_ROWS = 16

Integers = npt.NDArray[np.integer[Any]]


def buckets(lengths: Integers) -> list[Integers]:
    """Return the rows of a batch in buckets by length; none if one is as good.

    Buckets are made one by one, each by the cut that saves most, until no more than `MOST_PADDING` is padding.

    Args:
        lengths: input tokens of each exchange, `[batch]`.
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
    """Return the tokens of padding that the best cut of a bucket saves, and where that is; 0 saved if none may be."""
    boundaries = np.arange(start + MIN_ROWS, end - MIN_ROWS + 1)
    if not len(boundaries):
        return 0, start
    saved = (ascending[end - 1] - ascending[boundaries - 1]) * (boundaries - start)
    best = int(np.argmax(saved))
    return int(saved[best]), int(boundaries[best])
