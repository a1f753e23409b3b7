"""Dialogues that are nearly the same: how many pairs of words they share."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import combinations, pairwise
from typing import NamedTuple

from metadialog.datasets.dialogue import Dialogue
from metadialog.datasets.folding import fold
from metadialog.text import words

THRESHOLD = 0.7
"""Jaccard similarity of the pairs of neighbouring words from which two dialogues are near duplicates."""

_COMMON = 50
"""A pair of words that more dialogues than this have tells little of which ones are alike."""

Pairs = frozenset[tuple[str, str]]


class Near(NamedTuple):
    """Two dialogues that are nearly the same, by their numbers, and how much: 0 to 1."""

    one: int
    other: int
    similarity: float


def near_duplicates(dialogues: Iterable[Dialogue], threshold: float = THRESHOLD) -> Iterator[Near]:
    """Yield the pairs of dialogues whose word pairs have a Jaccard similarity of `threshold` or more.

    Only dialogues are compared that share one of their three rarest word pairs, which near duplicates nearly always do.
    """
    shown = [_word_pairs(dialogue) for dialogue in dialogues]
    having: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, pairs in enumerate(shown):
        for pair in pairs:
            having[pair].append(number)
    candidates: set[tuple[int, int]] = set()
    for pairs in shown:
        rare = sorted(
            (pair for pair in pairs if 1 < len(having[pair]) <= _COMMON), key=lambda pair: (len(having[pair]), pair)
        )
        for pair in rare[:3]:
            candidates.update(combinations(having[pair], 2))
    for one, other in sorted(candidates):
        both = len(shown[one] & shown[other])
        similarity = both / (len(shown[one]) + len(shown[other]) - both)
        if similarity >= threshold:
            yield Near(one, other, similarity)


def _word_pairs(dialogue: Dialogue) -> Pairs:
    said = [word for turn in dialogue.turns for word in words(fold(turn.text))]
    return frozenset(pairwise(said))
