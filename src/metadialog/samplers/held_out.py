"""Held-out episodes, which are the same for every algorithm and every run: drawn, or one for each dialogue."""

from collections.abc import Mapping, Sequence
from functools import cache, partial
from random import Random
from typing import Annotated

from annotated_types import Ge, Le, MinLen

from metadialog.datasets.dialogue import Dialogue
from metadialog.datasets.dialogues import Dialogues
from metadialog.episodes import Batch, Episode
from metadialog.samplers.base import checked_topics
from metadialog.samplers.draws import draw_distinct, unlike
from metadialog.samplers.exchanges import Encoders, ExchangeEncoder


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


def leave_one_out_episodes(
    topics: Mapping[str, Sequence[Dialogue]],
    encoders: Encoders,
    *,
    shots: Sequence[int],
    seed: int,
) -> list[Episode]:
    """Create an episode for each dialogue, with support dialogues drawn from the others of its topic.

    Madotto et al. 2019, section 3, test personas in this way. Order and nesting of the support sets are those of
    `held_out_episodes`; the number of an episode is the index of its query in the topic.

    Args:
        topics: dialogues of each held-out topic.
        encoders: encoders of the support and query sets.
        shots: numbers of support dialogues; 0 gives an episode without a support set.
        seed: seed of the draw of support dialogues.

    Raises:
        DataError: a topic has fewer than `max(shots) + 1` dialogues; the message names it.
    """
    most = max(shots)
    result = checked_topics(topics, {"evaluation.shots": most, "evaluation.queries": 1})
    episodes = []
    for topic, dialogues in result.items():
        count_of_topic = len(dialogues)
        for index in range(count_of_topic):
            query = dialogues.pick([index])
            others = [other for other in range(count_of_topic) if other != index]
            drawn = draw_distinct(Random(f"{seed}:{topic}:{index}"), len(others), len(others))
            indices = unlike(query, dialogues, [others[chosen] for chosen in drawn], most)
            support = dialogues.pick(indices)
            rest = cache(partial(_batch_without, index, dialogues, encoders.support)) if others else None
            episodes += [encoders.episode(topic, index, support[:count], query, rest) for count in shots]
    return episodes


def _batch_without(left_out: int, dialogues: Dialogues, encoder: ExchangeEncoder) -> Batch:
    return encoder.batch(dialogues.pick([other for other in range(len(dialogues)) if other != left_out]))
