"""Random draws that come out the same on every platform and in every Python version.

Python promises the same numbers from `random()` for a seed in every version, but not the same choices from
`sample` or `shuffle`: so the draws here are made of `random()` alone.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from random import Random

from metadialog.datasets.dialogue import Dialogue, duplicate_key


def draw_distinct(generator: Random, population: int, count: int) -> list[int]:
    """Draw `count` different numbers below `population`, all orders being equally likely.

    The first k of them do not depend on `count` (a Fisher-Yates shuffle, stopped early).

    Raises:
        ValueError: `count` is more than `population`.
    """
    if count > population:
        raise ValueError(f"cannot draw {count} different numbers out of {population}")
    moved: dict[int, int] = {}  # what the shuffled range holds where it is no longer itself
    drawn = []
    for index in range(count):
        chosen = index + int(generator.random() * (population - index))
        drawn.append(moved.get(chosen, chosen))
        moved[chosen] = moved.get(index, index)
    return drawn


def unlike(query: Sequence[Dialogue], topic: Sequence[Dialogue], others: Sequence[int], count: int) -> list[int]:
    """Return the first `count` of the others that share no exchange with the query; then those that do.

    An exchange is a turn and the one that answers it. Left in the support set, it would be an answer to copy.

    Args:
        query: the query dialogues.
        topic: the dialogues of the topic, of which no more are read than need be.
        others: positions of dialogues in it.
        count: how many are wanted.
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
    """Draw a position in `weights`, with probability in proportion to the weight there.

    Args:
        generator: where the randomness comes from.
        weights: 0 or more each, more than 0 together.
    """
    bounds = list(accumulate(weights))
    # The bound on the position guards against a product that rounds up to the sum.
    return bisect_right(bounds, generator.random() * bounds[-1], hi=len(bounds) - 1)
