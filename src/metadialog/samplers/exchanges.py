"""Encoding of dialogues as exchanges, in padded batches and as text."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, overload

from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.datasets.dialogues import Dialogues
from metadialog.episodes import Batch, Episode, Exchange
from metadialog.samplers.assembly import Limits, assemble
from metadialog.samplers.tokens import DialogueTokens, PreparedTokenizer, tokenize
from metadialog.tokenizers.tokenizer import Tokenizer

LossOn = Literal["response", "all"]

MIN_TOKENS = 4
"""Minimum of `max_tokens`: `<begin>`, `<self>` and some context."""

_REMEMBERED = 4096
"""Number of dialogues whose tokens are cached."""


class ExchangeEncoder:
    """Encodes each reply of a dialogue, except its first turn, as a response to the turns before it.

    The sequence is `<begin> <other> ... <self> ... <self> RESPONSE <end>`: each turn of the context follows `<self>` if
    its speaker is the one who responds, otherwise `<other>`. The model's input is everything except the last token.
    `max_tokens` limits the prompt, which is everything up to the last `<self>`, and the response with its `<end>`
    separately: the oldest tokens of the context and the last tokens of the response are removed.

    The loss is on the response and its `<end>` (`response`), or on all that follows `<begin>` (`all`).
    `words` is the number of words of exactly the text whose tokens are counted.

    The prompt does not depend on the length of the reference, so it is the same when a response is scored and when a
    reply is generated.

    The tokens of the latest dialogues are cached; those of a `PreparedTokenizer`'s corpus are taken from there.
    """

    def __init__(self, tokenizer: Tokenizer, context_turns: int, max_tokens: int, loss_on: LossOn) -> None:
        """Set the lengths of contexts and sequences, and the tokens that count in the loss.

        Args:
            tokenizer: encodes texts.
            context_turns: maximum number of turns of a context, 1 or more.
            max_tokens: maximum number of tokens of a prompt, and of a response; `MIN_TOKENS` or more.
            loss_on: tokens that count in the loss.
        """
        self._tokenizer = tokenizer
        self._context_turns = context_turns
        self._max_tokens = max_tokens
        self._limits = Limits(context_turns, max_tokens, loss_on == "all")
        self._prepared = tokenizer.prepared if isinstance(tokenizer, PreparedTokenizer) else None
        self._tokenized = lru_cache(_REMEMBERED)(self._tokenize)

    def batch(self, dialogues: Iterable[Dialogue]) -> Batch:
        """Return all exchanges of the dialogues as one batch.

        Raises:
            DataError: a dialogue has fewer than two turns.
        """
        return assemble(self._tokens(dialogues), self._tokenizer, self._limits)

    def exchanges(self, dialogues: Sequence[Dialogue]) -> "ExchangeTexts":
        """Return all exchanges of the dialogues as text, in the order of the rows of their batch.

        Raises:
            DataError: a dialogue has fewer than two turns.
        """
        return ExchangeTexts(self.batch(dialogues), dialogues, self._context_turns)

    def batch_and_texts(self, dialogues: Dialogues) -> tuple[Batch, "ExchangeTexts"]:
        """Return all exchanges of the dialogues as one batch, and as text."""
        batch = self.batch(dialogues)
        return batch, ExchangeTexts(batch, dialogues, self._context_turns)

    def prompt(self, turns: Sequence[Turn], responder: str) -> tuple[int, ...]:
        """Return the prompt of a reply: the token ids of the latest turns, up to the last `<self>`.

        Args:
            turns: turns before the reply, oldest first.
            responder: speaker of the reply.
        """
        latest = turns[-self._context_turns :]
        return self._prompt([token for turn in latest for token in self._mark(turn, responder)])

    def _tokens(self, dialogues: Iterable[Dialogue]) -> list[DialogueTokens]:
        result = Dialogues.of(dialogues)
        if self._prepared and result.store is self._prepared.dialogues:
            return [self._prepared.tokens(row) for row in result.rows.tolist()]
        return [self._tokenized(dialogue) for dialogue in result]

    def _tokenize(self, dialogue: Dialogue) -> DialogueTokens:
        return tokenize(dialogue, self._tokenizer)

    def _mark(self, turn: Turn, responder: str) -> list[int]:
        marker = self._tokenizer.self_id if turn.speaker == responder else self._tokenizer.other_id
        return [marker, *self._tokenizer.encode(turn.text)]

    def _prompt(self, context: list[int]) -> tuple[int, ...]:
        room = self._max_tokens - 2  # <begin> and <self> are always kept
        newest = context[max(0, len(context) - room) :]
        return (self._tokenizer.begin_id, *newest, self._tokenizer.self_id)


class ExchangeTexts(Sequence[Exchange]):
    """The exchanges of dialogues as text, created on first access, as training never needs them."""

    def __init__(self, batch: Batch, dialogues: Sequence[Dialogue], context_turns: int) -> None:
        """Hold the dialogues and their batch.

        Args:
            batch: the exchanges of the dialogues as token ids.
            dialogues: the dialogues.
            context_turns: maximum number of turns of a context.
        """
        self._batch = batch
        self._dialogues = dialogues
        self._context_turns = context_turns
        self._made: tuple[Exchange, ...] | None = None

    def __len__(self) -> int:
        """Return the number of exchanges."""
        return len(self._batch.inputs)

    @overload
    def __getitem__(self, position: int) -> Exchange: ...

    @overload
    def __getitem__(self, position: slice) -> tuple[Exchange, ...]: ...

    def __getitem__(self, position: int | slice) -> Exchange | tuple[Exchange, ...]:
        """Return one exchange, or several."""
        if self._made is None:
            self._made = self._make()
        return self._made[position]

    def _make(self) -> tuple[Exchange, ...]:
        texts = [
            ("\n".join(f"{turn.speaker}: {' '.join(turn.text.split())}" for turn in context), response.text)
            for dialogue in self._dialogues
            for context, response in _exchanges(dialogue.turns, self._context_turns)
        ]
        prompts = self._batch.prompts()
        return tuple(Exchange(prompt, *text) for prompt, text in zip(prompts, texts, strict=True))

    def __eq__(self, other: object) -> bool:
        """Compare with any sequence of exchanges."""
        return isinstance(other, Sequence) and self[:] == tuple(other)

    def __hash__(self) -> int:
        """Hash like the tuple of the exchanges."""
        return hash(self[:])


def _exchanges(turns: Sequence[Turn], context_turns: int) -> Iterator[tuple[Sequence[Turn], Turn]]:
    """Yield the context and the response of each exchange of a dialogue."""
    for position, turn in enumerate(turns):
        if position and turn.reply:
            yield turns[max(0, position - context_turns) : position], turn


@dataclass(frozen=True, slots=True)
class Encoders:
    """Encoders of the two sets of an episode.

    Attributes:
        support: encoder of support sets.
        query: encoder of query sets.
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
        """Encode and pad the dialogues of an episode; without support dialogues its support is None.

        Args:
            topic: topic of the dialogues.
            index: number of the episode.
            support: the support dialogues.
            query: the query dialogues.
            others: as in `Episode`.
        """
        batch, texts = self.query.batch_and_texts(query)
        support_batch, support_texts = self.support.batch_and_texts(support) if support else (None, ())
        return Episode(
            topic=topic,
            index=index,
            support=support_batch,
            query=batch,
            exchanges=texts,
            support_ids=support.ids(),
            query_ids=query.ids(),
            support_exchanges=support_texts,
            others=others,
        )
