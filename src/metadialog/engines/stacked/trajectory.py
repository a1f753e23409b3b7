"""The inner loop's weights, step by step, in a limited number of slots (Griewank 1992, checkpointing)."""

from collections.abc import Callable
from typing import Generic, TypeVar

Weights = TypeVar("Weights")
"""The weights of all tasks, and other state of an inner step."""


class Trajectory(Generic[Weights]):
    """Weights before each inner step, accessed once in ascending and then in descending order.

    Weights that do not fit into the slots are recomputed from the nearest kept weights before them.

    Args:
        start: the weights before step 0, which are always kept.
        advance: maps (step, the weights before it) to the weights after it.
        slots: number of weights kept in addition to `start`.
    """

    def __init__(self, start: Weights, advance: Callable[[int, Weights], Weights], slots: int) -> None:
        self._kept: dict[int, Weights] = {0: start}
        self._advance = advance
        self._slots = slots

    def keep(self, step: int, weights: Weights, steps: int) -> None:
        """Keep weights in the forward sweep, if `step` is one of those that divide `steps` evenly."""
        free = self._slots
        if free >= steps or (free > 0 and step % -(-steps // (free + 1)) == 0 and len(self._kept) <= free):
            self._kept[step] = weights

    def before(self, step: int) -> Weights:
        """Return the weights before a step, and drop later ones; to be called with descending steps."""
        for later in [kept for kept in self._kept if kept > step]:
            del self._kept[later]
        nearest = max(self._kept)
        weights = self._kept[nearest]
        free = self._slots + 1 - len(self._kept)
        for now in range(nearest, step):
            weights = self._advance(now, weights)
            # The last ones are needed next.
            if now + 1 > step - free:
                self._kept[now + 1] = weights
        return weights
