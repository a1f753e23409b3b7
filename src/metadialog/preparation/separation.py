"""Keep dialogues that belong together in one part of the split."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from metadialog.datasets.corpus import Corpus
from metadialog.errors import DataError
from metadialog.splits.split import TopicSplit
from metadialog.text import counted

PARTS = ("meta-test", "meta-validation", "meta-train")
"""Order in which a part keeps its dialogues of a group, provided the other topics keep enough."""


def separate_twins(corpus: Corpus, split: TopicSplit, min_dialogues: int) -> tuple[Corpus, TopicSplit]:
    """Drop dialogues that share their beginning with, or nearly duplicate, a dialogue in another part of the split.

    Such a pair is one conversation recorded twice, as in ConvAI2, which has both sides of each: training on one of them
    reveals the other. A topic with fewer than `min_dialogues` dialogues left is dropped.

    Args:
        corpus: the cleaned data set.
        split: the split of its topics.
        min_dialogues: minimum number of dialogues of a topic.

    Raises:
        DataError: a part is left without a topic.
    """
    kept = _kept(corpus, {topic: part for part, topics in _parts(split).items() for topic in topics}, min_dialogues)
    left_out = sum(len(corpus.topics[topic]) - len(positions) for topic, positions in kept.items())
    if not left_out:
        return corpus, split
    topics = {
        topic: dialogues.pick(kept[topic]) if topic in kept else dialogues for topic, dialogues in corpus.topics.items()
    }
    few = {topic: len(topics[topic]) for topic in kept if len(topics[topic]) < min_dialogues}
    empty = [topic for topic, dialogues in topics.items() if not len(dialogues)]
    parts = {part: tuple(topic for topic in names if topic not in few) for part, names in _parts(split).items()}
    for part, names in _parts(split).items():
        if names and not parts[part]:
            raise DataError(
                f"split: {counted(left_out, 'dialogue')} {corpus.dropped.twin} in another part; without them no topic "
                f"of {part} has {counted(min_dialogues, 'dialogue')}; lower split.min_dialogues, or choose other topics"
            )
    dropped = corpus.dropped
    separated = replace(
        corpus,
        topics={topic: dialogues for topic, dialogues in topics.items() if topic not in empty},
        dropped=replace(dropped, twins=left_out, topics=tuple(sorted((*dropped.topics, *empty)))),
    )
    return separated, replace(
        split,
        test=parts["meta-test"],
        validation=parts["meta-validation"],
        train=parts["meta-train"],
        dropped={**split.dropped, **{topic: count for topic, count in few.items() if count}},
    )


def _parts(split: TopicSplit) -> dict[str, tuple[str, ...]]:
    return dict(zip(PARTS, (split.test, split.validation, split.train), strict=True))


def _kept(corpus: Corpus, part_of: Mapping[str, str], min_dialogues: int) -> dict[str, list[int]]:
    """Return the positions of the remaining dialogues, for each topic that loses some."""
    left = {topic: len(corpus.topics[topic]) for topic in part_of}
    gone: dict[str, set[int]] = {}
    for members in _groups(corpus, part_of).values():
        parts = sorted({PARTS.index(part_of[topic]) for topic, _ in members})
        loses = {part: Counter(topic for topic, _ in members if PARTS.index(part_of[topic]) != part) for part in parts}
        affordable = [
            part for part in parts if all(left[topic] - count >= min_dialogues for topic, count in loses[part].items())
        ]
        stays = (affordable or parts)[0]
        for topic, position in members:
            if PARTS.index(part_of[topic]) != stays:
                gone.setdefault(topic, set()).add(position)
                left[topic] -= 1
    return {
        topic: [position for position in range(len(corpus.topics[topic])) if position not in positions]
        for topic, positions in gone.items()
    }


def _groups(corpus: Corpus, topics: Iterable[str]) -> dict[int, list[tuple[str, int]]]:
    """Return the dialogues that belong together, as (topic, position in it), by group."""
    results: dict[int, list[tuple[str, int]]] = {}
    if not len(corpus.twins):
        return results
    order = np.argsort(corpus.twins[:, 0])
    rows, groups = corpus.twins[order].T  # [twins] each
    for topic in topics:
        of_topic = np.asarray(corpus.topics[topic].rows)
        at = np.minimum(np.searchsorted(rows, of_topic), len(rows) - 1)
        for position in np.flatnonzero(rows[at] == of_topic).tolist():
            results.setdefault(int(groups[at[position]]), []).append((topic, position))
    return results
