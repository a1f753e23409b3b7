"""What every sampler of training episodes does: it counts episodes, and can be stopped and resumed."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metadialog.datasets.dialogue import Dialogue
from metadialog.datasets.dialogues import Dialogues
from metadialog.episodes import Batch, Episode
from metadialog.errors import DataError, RunError
from metadialog.samplers.exchanges import ExchangeEncoder, ExchangeTexts
from metadialog.text import counted


class Sampler(ABC):
    """An endless source of episodes: what `conf/sampler/*.yaml` names.

    Episode number i depends on the topics, the options, the seed and i alone, not on the episodes before it:
    so the whole state is the number of the next episode.
    """

    def __init__(
        self, topics: Mapping[str, Sequence[Dialogue]], encoder: ExchangeEncoder, shots: int, queries: int
    ) -> None:
        """Take the topics, whatever their order.

        Args:
            topics: the dialogues of each topic.
            encoder: dialogues to tensors.
            shots: support dialogues of an episode.
            queries: query dialogues of an episode.

        Raises:
            DataError: there is no topic, a topic has fewer than `shots + queries` dialogues, or a dialogue
                has fewer than two turns.
        """
        self.topics = checked_topics(topics, {"sampler.shots": shots, "sampler.queries": queries})
        self.shots = shots
        self.queries = queries
        self._encoder = encoder
        self._next = 0

    def sample(self) -> Episode:
        """Return the next episode."""
        episode = self.episode(self._next)
        self._next += 1
        return episode

    def batch(self, size: int, part: slice = slice(None)) -> list[Episode]:
        """Return the next `size` episodes, or a part of them; the others are passed over without being made."""
        numbers = range(self._next, self._next + size)
        self._next += size
        return [self.episode(number) for number in numbers[part]]

    def episode(self, index: int) -> Episode:
        """Return episode number `index`, counted from 0, whatever has been sampled so far."""
        topic, positions = self._draw(index)
        support = self.topics[topic].pick(positions[: self.shots])
        query = self.topics[topic].pick(positions[self.shots :])
        return Encoders(self._encoder, self._encoder).episode(topic, index, support, query)

    def dialogues_drawn(self, episodes: int) -> int:
        """Count the distinct dialogues in the first so many episodes; a topic's dialogues are told apart by index."""
        drawn = {(topic, position) for topic, positions in map(self._draw, range(episodes)) for position in positions}
        return len(drawn)

    def state_dict(self) -> dict[str, int]:
        """Return what resuming needs, as JSON can hold it."""
        return {"next_episode": self._next}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken.

        Raises:
            RunError: this is no such state.
        """
        number = state.get("next_episode")
        if not isinstance(number, int) or number < 0:
            raise RunError(f"sampler state {dict(state)}: next_episode should be a whole number, 0 or more")
        self._next = number

    @abstractmethod
    def _draw(self, index: int) -> tuple[str, list[int]]:
        """Draw the topic of an episode, and the positions of `shots + queries` different dialogues in it."""


@dataclass(frozen=True, slots=True)
class Encoders:
    """What makes the two sets of an episode of dialogues.

    Attributes:
        support: of support sets.
        query: of query sets.
    """

    support: ExchangeEncoder
    query: ExchangeEncoder

    def episode(
        self,
        topic: str,
        index: int,
        support: Dialogues,
        query: Dialogues,
        others: Callable[[], Batch] | None = None,
    ) -> Episode:
        """Encode and pad the dialogues of an episode; no support dialogues make a support of None.

        Args:
            topic: of all of them.
            index: number of the episode.
            support: the support dialogues.
            query: the query dialogues.
            others: as in `Episode`.
        """
        batch = self.query.batch(query)
        support_batch = self.support.batch(support) if support else None
        texts = () if support_batch is None else ExchangeTexts(self.support, support, len(support_batch.inputs))
        return Episode(
            topic=topic,
            index=index,
            support=support_batch,
            query=batch,
            exchanges=ExchangeTexts(self.query, query, len(batch.inputs)),
            support_ids=support.ids(),
            query_ids=query.ids(),
            support_exchanges=texts,
            others=others,
        )


def checked_topics(topics: Mapping[str, Iterable[Dialogue]], options: Mapping[str, int]) -> dict[str, Dialogues]:
    """Return the topics, sorted, if every one has the dialogues that an episode takes.

    Args:
        topics: the dialogues of each topic.
        options: the options that say how many dialogues an episode takes, with their values.

    Raises:
        DataError: there is no topic, or one has too few dialogues or one without a response; the message names it.
    """
    if not topics:
        raise DataError("there are no topics to draw episodes from; there should be at least one")
    needed = sum(options.values())
    results = {topic: Dialogues.of(topics[topic]) for topic in sorted(topics)}
    for topic, dialogues in results.items():
        if len(dialogues) < needed:
            asked = " and ".join(f"{name}={value}" for name, value in options.items())
            raise DataError(
                f"topic {topic}: has {counted(len(dialogues), 'dialogue')}, but {asked} take {needed}: lower them, "
                f"set split.min_dialogues={needed}, or add dialogues{_fitting(options, len(dialogues))}"
            )
    return results


def _fitting(options: Mapping[str, int], dialogues: int) -> str:
    """Say which shots and queries a topic of so many dialogues has room for."""
    if dialogues < 2:
        return ""
    shots, queries = options
    room = min(options[shots], dialogues - 1)
    group = shots.partition(".")[0]
    counted = f"[{room}]" if group == "evaluation" else f"{room}"
    fitting = f"; it has room for {group}.shots={counted} {queries}={min(options[queries], dialogues - room)}"
    if group != "evaluation":
        return fitting
    return f"{fitting}, or for evaluation.leave_one_out=true with evaluation.queries=1 evaluation.episodes_per_topic=1"
