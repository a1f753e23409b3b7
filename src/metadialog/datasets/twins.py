"""Dialogues that are the beginning of another one, such as the same conversation recorded from each side."""

from array import array
from collections.abc import Iterable, Iterator
from itertools import pairwise
from tempfile import SpooledTemporaryFile
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.integer[Any]]

_IN_MEMORY = 1 << 26  # bytes
_BLOCK = 1 << 20  # dialogues, or their beginnings, that are processed at once


class Twins:
    """Collects keys of complete dialogues and of their beginnings, and finds equal ones.

    ConvAI2 contains each conversation twice, from each side, the second without its last reply: no two dialogues are
    equal, but training on one reveals the other. Keys have 64 bits, so that among ten million dialogues a false match
    has a probability of about one in 20,000.
    """

    def __init__(self) -> None:
        """Start empty; if there are many beginnings, they are kept in a temporary file."""
        self._whole = array("Q")
        self._counts = array("i")
        self._starts: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed on exit

    def add(self, whole: int, starts: Keys) -> None:
        """Add a dialogue.

        Args:
            whole: key of all its turns.
            starts: keys of its first 2, 3, ... turns, except that of all turns.
        """
        self._whole.append(whole)
        self._counts.append(len(starts))
        self._starts.write(starts.tobytes())

    def groups(self) -> Integers:
        """Return the dialogues in groups: their row and the first row of their group, `[twins, 2]`."""
        return joined(self._pairs())

    def _pairs(self) -> Iterator[tuple[int, int]]:
        """Yield the row of a dialogue with the row of one that is its beginning."""
        if not self._whole:
            return
        whole = np.frombuffer(self._whole, np.uint64)
        order = np.argsort(whole, kind="stable")
        ordered = whole[order]
        counts = np.frombuffer(self._counts, np.int32)
        self._starts.seek(0)
        bounds = [*range(0, len(counts), _BLOCK), len(counts)]
        for first, last in pairwise(bounds):
            of_rows = np.repeat(np.arange(first, last), counts[first:last])
            starts = np.frombuffer(self._starts.read(8 * len(of_rows)), np.uint64)
            indices = np.minimum(np.searchsorted(ordered, starts), len(ordered) - 1)
            for hit in np.flatnonzero(ordered[indices] == starts).tolist():
                yield int(of_rows[hit]), int(order[indices[hit]])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._starts.close()


def joined(pairs: Iterable[tuple[int, int]]) -> Integers:
    """Return the members of groups, connected directly or transitively, with the first of each group: `[members, 2]`.

    Args:
        pairs: pairs of numbers of dialogues in the same group.
    """
    groups = _Groups()
    for one, other in pairs:
        groups.join(one, other)
    return np.array(sorted(groups.members()), np.int64).reshape(-1, 2)


class _Groups:
    """Groups of numbers that are connected directly or transitively; each is named after its smallest member."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}

    def join(self, one: int, other: int) -> None:
        one, other = self._root(one), self._root(other)
        self._parent[max(one, other)] = min(one, other)

    def members(self) -> Iterator[tuple[int, int]]:
        return ((number, self._root(number)) for number in list(self._parent))

    def _root(self, number: int) -> int:
        parent = self._parent.setdefault(number, number)
        while parent != self._parent[parent]:
            parent = self._parent[number] = self._parent[self._parent[parent]]
            number = parent
            parent = self._parent[number]
        return parent
