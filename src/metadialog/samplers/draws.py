"""Random draws that are the same on every platform and in every Python version.

Python guarantees the same numbers from `random()` for a seed in every version, but not the same results of `sample` or
`shuffle`, so the functions here only use `random()`.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from random import Random

from metadialog.datasets.dialogue import Dialogue, duplicate_key


def draw_distinct(generator: Random, population: int, count: int) -> list[int]:
    """Draw `count` different numbers below `population`; all orders are equally likely.

    The first k of them do not depend on `count` (a Fisher-Yates shuffle, stopped early).

    Raises:
        ValueError: `count` is more than `population`.
    """
    if count > population:
        raise ValueError(f"cannot draw {count} different numbers out of {population}")
    moved: dict[int, int] = {}  # entries of the shuffled range that have changed
    drawn = []
    for index in range(count):
        chosen = index + int(generator.random() * (population - index))
        drawn.append(moved.get(chosen, chosen))
        moved[chosen] = moved.get(index, index)
    return drawn


def unlike(query: Sequence[Dialogue], topic: Sequence[Dialogue], others: Sequence[int], count: int) -> list[int]:
    """Return the first `count` other dialogues, preferring those that share no exchange with the query.

    An exchange is a turn and its answer. If it were in the support set, the answer could be copied.

    Args:
        query: the query dialogues.
        topic: dialogues of the topic, of which only as many as needed are read.
        others: positions of the other dialogues in it.
        count: number of dialogues to return.
    """
    asked = {exchange for dialogue in query for exchange in pairwise(duplicate_key(dialogue))}
    apart: list[int] = []
    alike: list[int] = []
    for position in others:
        if len(apart) == count:
            break
        (apart if asked.isdisjoint(pairwise(duplicate_key(topic[position]))) else alike).append(position)
    return [*apart, *alike][:count]


def draw_weighted(generator: Random, weights: Sequence[float]) -> int:
    """Draw a position in `weights`, with probability proportional to the weight.

    Args:
        generator: random number generator.
        weights: non-negative weights with a positive sum.
    """
    bounds = list(accumulate(weights))
    # The upper bound guards against a product that is rounded up to the sum.
    return bisect_right(bounds, generator.random() * bounds[-1], hi=len(bounds) - 1)
