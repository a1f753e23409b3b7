"""Held-out episodes of which each dialogue of a topic is the query once."""

from collections.abc import Mapping, Sequence
from functools import cache, partial
from random import Random

from metadialog.datasets.dialogue import Dialogue
from metadialog.datasets.dialogues import Dialogues
from metadialog.episodes import Batch, Episode
from metadialog.samplers.base import checked_topics, make_episode
from metadialog.samplers.draws import draw_distinct, unlike
from metadialog.samplers.exchanges import ExchangeEncoder, LossOn
from metadialog.tokenizers.tokenizer import Tokenizer


def leave_one_out_episodes(
    topics: Mapping[str, Sequence[Dialogue]],
    tokenizer: Tokenizer,
    *,
    shots: Sequence[int],
    seed: int,
    context_turns: int,
    max_tokens: int,
    query_max_tokens: int,
    loss_on: LossOn,
) -> list[Episode]:
    """Make an episode for each dialogue, with support dialogues drawn from the others of its topic.

    So are personas tested in Madotto et al. 2019, section 3. Order and nesting of the support sets are those of
    `held_out_episodes`; an episode's number is the index of its query in the topic.

    Args:
        topics: the dialogues of each held-out topic.
        tokenizer: text to ids.
        shots: the numbers of support dialogues; 0 makes an episode without a support set.
        seed: of the draw of support dialogues.
        context_turns: most turns of a context.
        max_tokens: most tokens of a prompt, and of a response, in the support sets.
        query_max_tokens: the same in the query sets; more, so that references are scored whole.
        loss_on: which tokens count.

    Raises:
        DataError: a topic has fewer than `max(shots) + 1` dialogues; the message names it.
    """
    most = max(shots)
    result = checked_topics(topics, {"evaluation.shots": most, "evaluation.queries": 1})
    encoder = ExchangeEncoder(tokenizer, context_turns, max_tokens, loss_on)
    query_encoder = ExchangeEncoder(tokenizer, context_turns, query_max_tokens, loss_on)
    episodes = []
    for topic, dialogues in result.items():
        count_of_topic = len(dialogues)
        for index in range(count_of_topic):
            query = dialogues.pick([index])
            others = [other for other in range(count_of_topic) if other != index]
            drawn = draw_distinct(Random(f"{seed}:{topic}:{index}"), len(others), len(others))
            indices = unlike(query, dialogues, [others[chosen] for chosen in drawn], most)
            support = dialogues.pick(indices)
            rest = cache(partial(_batch_without, index, dialogues, encoder)) if others else None
            episodes += [
                make_episode(encoder, topic, index, support[:count], query, query_encoder, rest) for count in shots
            ]
    return episodes


def _batch_without(left_out: int, dialogues: Dialogues, encoder: ExchangeEncoder) -> Batch:
    return encoder.batch(dialogues.pick([other for other in range(len(dialogues)) if other != left_out]))
