"""Held-out episodes, which are the same for every algorithm and every run."""

from collections.abc import Mapping, Sequence
from functools import cache, partial
from random import Random
from typing import Annotated

from annotated_types import Ge, Le, MinLen

from metadialog.datasets.dialogue import Dialogue
from metadialog.episodes import Episode
from metadialog.samplers.base import checked_topics
from metadialog.samplers.draws import draw_distinct, unlike
from metadialog.samplers.exchanges import Encoders


def held_out_episodes(
    topics: Mapping[str, Sequence[Dialogue]],
    encoders: Encoders,
    *,
    shots: Annotated[Sequence[Annotated[int, Ge(0), Le(10**6)]], MinLen(1)],
    queries: Annotated[int, Ge(1), Le(10**6)],
    episodes_per_topic: Annotated[int, Ge(1), Le(10**6)],
    seed: int,
    options: str = "evaluation",
) -> list[Episode]:
    """Draw the episodes on which algorithms are compared.

    They are ordered by topic (sorted), then by number (`Episode.index`), then by shots in the given order. The draw for
    a topic depends only on the seed and that topic. The episodes of one topic and number have the same query set for
    all shots, and nested support sets (1 shot is the first of 3), so that they differ only in the shots, and adding
    shots does not change the others. A dialogue that shares a turn and its answer with the query set is in a support
    set only if there are not enough others.

    Args:
        topics: dialogues of each held-out topic.
        encoders: encoders of the support and query sets.
        shots: numbers of support dialogues; 0 gives an episode without a support set.
        queries: number of query dialogues of an episode.
        episodes_per_topic: number of episodes of each topic, for each of `shots`.
        seed: seed of the draw, which is not the run's.
        options: config group of `shots` and `queries`, for messages.

    Raises:
        DataError: a topic has fewer than `max(shots) + queries` dialogues; the message names it.
    """
    most = max(shots)
    result = checked_topics(topics, {f"{options}.shots": most, f"{options}.queries": queries})
    episodes = []
    for topic, dialogues in result.items():
        for index in range(episodes_per_topic):
            positions = draw_distinct(Random(f"{seed}:{topic}:{index}"), len(dialogues), len(dialogues))
            query = dialogues.pick(positions[:queries])
            rest = dialogues.pick(positions[queries:])
            support = dialogues.pick(unlike(query, dialogues, positions[queries:], most))
            others = cache(partial(encoders.support.batch, rest)) if rest else None
            episodes += [encoders.episode(topic, index, support[:count], query, others) for count in shots]
    return episodes
