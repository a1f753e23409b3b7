"""Base class of the samplers of training episodes."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

from annotated_types import Ge, Le

from metadialog.datasets.dialogue import Dialogue
from metadialog.datasets.dialogues import Dialogues
from metadialog.episodes import Episode
from metadialog.errors import DataError, RunError
from metadialog.samplers.exchanges import MIN_TOKENS, Encoders, ExchangeEncoder, LossOn
from metadialog.text import counted
from metadialog.tokenizers.tokenizer import Tokenizer


class Sampler(ABC):
    """An endless source of episodes, as named by `conf/sampler/*.yaml`.

    Episode number i depends only on the topics, the options, the seed and i, not on earlier episodes, so the whole
    state is the number of the next episode.
    """

    def __init__(
        self,
        topics: Mapping[str, Sequence[Dialogue]],
        tokenizer: Tokenizer,
        seed: int,
        *,
        shots: Annotated[int, Ge(1), Le(10**6)],
        queries: Annotated[int, Ge(1), Le(10**6)],
        context_turns: Annotated[int, Ge(1), Le(10**6)],
        max_tokens: Annotated[int, Ge(MIN_TOKENS), Le(10**6)],
        loss_on: LossOn,
    ) -> None:
        """Initialise the sampler; the order of the topics does not matter.

        A subclass takes these options as `**options` and passes them on.

        Args:
            topics: the dialogues of each topic.
            tokenizer: encodes their texts.
            seed: seed of the draw.
            shots: number of support dialogues of an episode.
            queries: number of query dialogues of an episode.
            context_turns: maximum number of turns of a context.
            max_tokens: maximum number of tokens of a prompt, and of a response.
            loss_on: see `ExchangeEncoder`.

        Raises:
            DataError: there is no topic, a topic has fewer than `shots + queries` dialogues, or a dialogue
                has fewer than two turns.
        """
        self.topics = checked_topics(topics, {"sampler.shots": shots, "sampler.queries": queries})
        self.shots = shots
        self.queries = queries
        self._encoder = ExchangeEncoder(tokenizer, context_turns, max_tokens, loss_on)
        self._seed = seed
        self._next = 0

    def sample(self) -> Episode:
        """Return the next episode."""
        episode = self.episode(self._next)
        self._next += 1
        return episode

    def batch(self, size: int, part: slice = slice(None)) -> list[Episode]:
        """Return the next `size` episodes, or a part of them; the others are skipped without being created."""
        numbers = range(self._next, self._next + size)
        self._next += size
        return [self.episode(number) for number in numbers[part]]

    def episode(self, index: int) -> Episode:
        """Return episode number `index`, counted from 0, independently of what has been sampled so far."""
        topic, positions = self._draw(index)
        support = self.topics[topic].pick(positions[: self.shots])
        query = self.topics[topic].pick(positions[self.shots :])
        return Encoders(self._encoder, self._encoder).episode(topic, index, support, query)

    def dialogues_drawn(self, episodes: int) -> int:
        """Return the number of distinct dialogues in the first `episodes` episodes."""
        drawn = {(topic, position) for topic, positions in map(self._draw, range(episodes)) for position in positions}
        return len(drawn)

    def state_dict(self) -> dict[str, int]:
        """Return the state for resuming, as JSON-compatible values."""
        return {"next_episode": self._next}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state that `state_dict` returned.

        Raises:
            RunError: the state is invalid.
        """
        number = state.get("next_episode")
        if not isinstance(number, int) or number < 0:
            raise RunError(f"sampler state {dict(state)}: next_episode should be a whole number, 0 or more")
        self._next = number

    @abstractmethod
    def _draw(self, index: int) -> tuple[str, list[int]]:
        """Draw the topic of an episode, and the positions of `shots + queries` different dialogues in it."""


def checked_topics(topics: Mapping[str, Iterable[Dialogue]], options: Mapping[str, int]) -> dict[str, Dialogues]:
    """Return the topics, sorted, after checking that each has enough dialogues for an episode.

    Args:
        topics: the dialogues of each topic.
        options: options that set the number of dialogues of an episode, with their values.

    Raises:
        DataError: there is no topic, or one has too few dialogues or one without a response; the message names it.
    """
    if not topics:
        raise DataError("there is no topic to draw episodes from; there should be at least one")
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
    """Return a hint about the shots and queries that are possible with this number of dialogues."""
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
