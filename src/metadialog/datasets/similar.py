"""Search for near-duplicate dialogues by shared word pairs."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from metadialog.datasets.dialogue import Dialogue
from metadialog.text import fold, words

THRESHOLD = 0.7
"""Jaccard similarity of neighbouring word pairs from which two dialogues are near duplicates."""

_ROUNDING = 1e-9  # for products such as 0.1 * 30, which is above 3


class Near(NamedTuple):
    """The numbers of two near duplicates, and their similarity, 0 to 1."""

    one: int
    other: int
    similarity: float


def near_duplicates(dialogues: Iterable[Dialogue], threshold: float = THRESHOLD) -> Iterator[Near]:
    """Yield the pairs of dialogues whose word pairs have a Jaccard similarity of `threshold` or more.

    All such pairs are found, without comparing all dialogues: with the word pairs in one order, rarest first, two
    dialogues that are so similar share one of the first `n - ceil(threshold * n) + 1` of the `n` word pairs of each
    (prefix filtering; Chaudhuri, Ganti and Kaushik, "A Primitive Operator for Similarity Joins in Data Cleaning",
    2006).

    Args:
        dialogues: dialogues, which are read once.
        threshold: minimum similarity, above 0 and up to 1.
    """
    sets = _numbered([_word_pairs(dialogue) for dialogue in dialogues])
    having: dict[int, list[int]] = defaultdict(list)  # the dialogues with a word pair among their first
    for number in sorted(range(len(sets)), key=lambda number: len(sets[number])):
        pairs = sets[number]
        size = len(pairs)
        first = pairs[: size - math.ceil(threshold * size - _ROUNDING) + 1] if pairs else ()
        known = frozenset(pairs)
        for other in sorted({other for pair in first for other in having[pair]}):
            if len(sets[other]) < threshold * size - _ROUNDING:
                continue
            both = len(known.intersection(sets[other]))
            similarity = both / (size + len(sets[other]) - both)
            if similarity >= threshold:
                yield Near(min(number, other), max(number, other), similarity)
        for pair in first:
            having[pair].append(number)


def _numbered(sets: Sequence[frozenset[tuple[str, str]]]) -> list[tuple[int, ...]]:
    """Return each set as ascending numbers; rarer word pairs have lower numbers."""
    counts = Counter(pair for pairs in sets for pair in pairs)
    numbers = {pair: number for number, pair in enumerate(sorted(counts, key=lambda pair: (counts[pair], pair)))}
    return [tuple(sorted(numbers[pair] for pair in pairs)) for pairs in sets]


def _word_pairs(dialogue: Dialogue) -> frozenset[tuple[str, str]]:
    said = [word for turn in dialogue.turns for word in words(fold(turn.text))]
    return frozenset(pairwise(said))
