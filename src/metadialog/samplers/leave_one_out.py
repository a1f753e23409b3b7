"""Held-out episodes in which each dialogue of a topic is the query once."""

from collections.abc import Mapping, Sequence
from functools import cache, partial
from random import Random

from metadialog.datasets.dialogue import Dialogue
from metadialog.datasets.dialogues import Dialogues
from metadialog.episodes import Batch, Episode
from metadialog.samplers.base import checked_topics
from metadialog.samplers.draws import draw_distinct, unlike
from metadialog.samplers.exchanges import Encoders, ExchangeEncoder


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
