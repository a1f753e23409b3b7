"""From dialogues to exchanges, and from exchanges to padded batches."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, overload

import torch

from metadialog.datasets.dialogue import MIN_TURNS, Dialogue, Turn
from metadialog.datasets.dialogues import Dialogues
from metadialog.episodes import Batch, Exchange
from metadialog.errors import DataError
from metadialog.samplers.assembly import Limits, assemble
from metadialog.samplers.tokens import DialogueTokens, PreparedTokenizer, tokenize
from metadialog.text import words
from metadialog.token_ids import PAD_ID
from metadialog.tokenizers.tokenizer import Tokenizer

LossOn = Literal["response", "all"]

MIN_TOKENS = 4
"""The least length cap: `<begin>`, `<self>` and something of a context."""

_REMEMBERED = 4096
"""Dialogues whose encoding is kept."""


@dataclass(frozen=True, slots=True)
class EncodedExchange:
    """One exchange as token ids.

    Attributes:
        ids: `<begin>`, the context, `<self>`, the response and `<end>`, as far as the length cap leaves them.
        counted_from: position in `ids` of the first token that counts in the loss; so do all that follow it.
        words: number of words of the text behind the counted tokens.
        exchange: the same exchange as text and as prompt.
    """

    ids: tuple[int, ...]
    counted_from: int
    words: int
    exchange: Exchange


class ExchangeEncoder:
    """Makes the turns of a dialogue responses to the turns before them: all that are replies, but for the first.

    The sequence is `<begin> <other> ... <self> ... <self> RESPONSE <end>`: each turn of the context follows
    `<self>` if its speaker is the one who responds, else `<other>`. The model reads all of it but the last
    token. `max_tokens` caps the prompt, which is all up to the last `<self>`, and the response with its `<end>`,
    each by itself: the prompt loses the oldest tokens of the context, the response its end.

    The loss is on the response and its `<end>` (`response`), or on all that follows `<begin>` (`all`).
    `words` counts the words of exactly the text whose tokens are counted, cut as they are.

    So the prompt is the same for a response that is scored and for a reply that is generated, which is done
    without knowing how long the reference is.

    Dialogues are encoded once and kept, the latest thousands of them; those of a `PreparedTokenizer`'s corpus
    are taken from there.
    """

    def __init__(self, tokenizer: Tokenizer, context_turns: int, max_tokens: int, loss_on: LossOn) -> None:
        """Set how long contexts and sequences are, and what is learned.

        Args:
            tokenizer: text to ids.
            context_turns: most turns of a context, 1 or more.
            max_tokens: most tokens of a prompt, and of a response; `MIN_TOKENS` or more.
            loss_on: which tokens count.
        """
        self._tokenizer = tokenizer
        self._context_turns = context_turns
        self._max_tokens = max_tokens
        self._loss_on = loss_on
        self._limits = Limits(context_turns, max_tokens, loss_on == "all")
        self._prepared = tokenizer.prepared if isinstance(tokenizer, PreparedTokenizer) else None
        self._encoded = lru_cache(_REMEMBERED)(self._encode)
        self._tokenized = lru_cache(_REMEMBERED)(self._tokenize)

    def encode(self, dialogue: Dialogue) -> tuple[EncodedExchange, ...]:
        """Return the exchanges of a dialogue, in its order.

        Raises:
            DataError: the dialogue has fewer than two turns.
        """
        return self._encoded(dialogue)

    def batch(self, dialogues: Iterable[Dialogue]) -> Batch:
        """Return all exchanges of some dialogues as one batch.

        Raises:
            DataError: a dialogue has fewer than two turns.
        """
        return assemble(self._tokens(dialogues), self._tokenizer, self._limits)

    def exchanges(self, dialogues: Iterable[Dialogue]) -> tuple[Exchange, ...]:
        """Return all exchanges of some dialogues as text, in the order of the rows of their batch.

        Raises:
            DataError: a dialogue has fewer than two turns.
        """
        return tuple(encoded.exchange for dialogue in dialogues for encoded in self.encode(dialogue))

    def prompt(self, turns: Sequence[Turn], responder: str) -> tuple[int, ...]:
        """Return the prompt of a reply to some turns: the ids of the latest ones, up to the last `<self>`.

        Args:
            turns: the turns before the reply, the oldest first.
            responder: who is to reply.
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

    def _encode(self, dialogue: Dialogue) -> tuple[EncodedExchange, ...]:
        _check_turns(dialogue)
        return tuple(
            self._encode_exchange(dialogue.turns, index)
            for index, turn in enumerate(dialogue.turns)
            if index and turn.reply
        )

    def _encode_exchange(self, turns: Sequence[Turn], position: int) -> EncodedExchange:
        response = turns[position]
        context_turns = turns[max(0, position - self._context_turns) : position]
        context = [token for turn in context_turns for token in self._mark(turn, response.speaker)]
        reply = self._tokenizer.encode(response.text)
        prompt = self._prompt(context)
        counted_from = 1 if self._loss_on == "all" else len(prompt)
        ids = prompt + (*reply, self._tokenizer.end_id)[: self._max_tokens]
        return EncodedExchange(
            ids=ids,
            counted_from=counted_from,
            words=self._count_words(ids[counted_from:]),
            exchange=Exchange(
                prompt=prompt,
                context="\n".join(f"{turn.speaker}: {' '.join(turn.text.split())}" for turn in context_turns),
                response=response.text,
            ),
        )

    def _mark(self, turn: Turn, responder: str) -> list[int]:
        marker = self._tokenizer.self_id if turn.speaker == responder else self._tokenizer.other_id
        return [marker, *self._tokenizer.encode(turn.text)]

    def _prompt(self, context: list[int]) -> tuple[int, ...]:
        room = self._max_tokens - 2  # <begin> and <self> always stay
        newest = context[max(0, len(context) - room) :]
        return (self._tokenizer.begin_id, *newest, self._tokenizer.self_id)

    def _count_words(self, ids: Sequence[int]) -> int:
        # Turn by turn: the last word of one and the first of the next are two, whatever stands between them.
        turns: list[list[int]] = [[]]
        for token in ids:
            if token in (self._tokenizer.self_id, self._tokenizer.other_id):
                turns.append([])
            else:
                turns[-1].append(token)
        return sum(len(words(self._tokenizer.decode(turn))) for turn in turns)


def _check_turns(dialogue: Dialogue) -> None:
    if not any(turn.reply for turn in dialogue.turns[1:]):
        raise DataError(f"dialogue {dialogue.id}: has no response; it should have {MIN_TURNS} turns")


class ExchangeTexts(Sequence[Exchange]):
    """The exchanges of some dialogues as text, made when they are first asked for: training never does."""

    def __init__(self, encoder: ExchangeEncoder, dialogues: Sequence[Dialogue], count: int) -> None:
        """Name the dialogues, and the number of their exchanges."""
        self._encoder = encoder
        self._dialogues = dialogues
        self._count = count
        self._made: tuple[Exchange, ...] | None = None

    def __len__(self) -> int:
        """Return the number of exchanges."""
        return self._count

    @overload
    def __getitem__(self, position: int) -> Exchange: ...

    @overload
    def __getitem__(self, position: slice) -> tuple[Exchange, ...]: ...

    def __getitem__(self, position: int | slice) -> Exchange | tuple[Exchange, ...]:
        """Return one exchange, or some."""
        if self._made is None:
            self._made = self._encoder.exchanges(self._dialogues)
        return self._made[position]

    def __eq__(self, other: object) -> bool:
        """Compare with any sequence of exchanges."""
        return isinstance(other, Sequence) and self[:] == tuple(other)

    def __hash__(self) -> int:
        """Hash as the tuple of the exchanges."""
        return hash(self[:])


def collate(exchanges: Sequence[EncodedExchange]) -> Batch:
    """Right-pad exchanges to the longest: inputs are all tokens but the last, targets all but the first.

    Args:
        exchanges: at least one.
    """
    time = max(len(exchange.ids) for exchange in exchanges) - 1
    rows = [exchange.ids + (PAD_ID,) * (time + 1 - len(exchange.ids)) for exchange in exchanges]
    ids = torch.tensor(rows, dtype=torch.int64)  # [batch, time + 1]
    positions = torch.arange(1, time + 1)  # [time], of each target in its sequence
    first = torch.tensor([exchange.counted_from for exchange in exchanges])[:, None]  # [batch, 1]
    length = torch.tensor([len(exchange.ids) for exchange in exchanges])[:, None]
    return Batch(
        inputs=ids[:, :-1].contiguous(),
        targets=ids[:, 1:].contiguous(),
        mask=(positions >= first) & (positions < length),
        words=torch.tensor([exchange.words for exchange in exchanges], dtype=torch.int64),
    )
