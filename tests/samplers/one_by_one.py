"""A reference encoder in plain Python, with which the encoder's batches are compared."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.episodes import Batch, Exchange
from metadialog.samplers.exchanges import LossOn
from metadialog.text import words
from metadialog.token_ids import PAD_ID
from metadialog.tokenizers.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class EncodedExchange:
    """One exchange as token ids.

    Attributes:
        ids: `<begin>`, the context, `<self>`, the response and `<end>`, truncated to the maximum length.
        counted_from: position in `ids` of the first token that counts in the loss, as do all tokens after it.
        words: number of words in the text of the counted tokens.
        exchange: the same exchange as text and as prompt.
    """

    ids: tuple[int, ...]
    counted_from: int
    words: int
    exchange: Exchange


@dataclass(frozen=True, slots=True)
class OneByOne:
    """Encodes exchanges one at a time; the options are those of `ExchangeEncoder`."""

    tokenizer: Tokenizer
    context_turns: int
    max_tokens: int
    loss_on: LossOn

    def encode(self, dialogue: Dialogue) -> tuple[EncodedExchange, ...]:
        return tuple(
            self._encode_exchange(dialogue.turns, index)
            for index, turn in enumerate(dialogue.turns)
            if index and turn.reply
        )

    def batch(self, dialogues: Sequence[Dialogue]) -> Batch:
        return collate([exchange for dialogue in dialogues for exchange in self.encode(dialogue)])

    def _encode_exchange(self, turns: Sequence[Turn], position: int) -> EncodedExchange:
        response = turns[position]
        context_turns = turns[max(0, position - self.context_turns) : position]
        context = [token for turn in context_turns for token in self._mark(turn, response.speaker)]
        reply = self.tokenizer.encode(response.text)
        prompt = self._prompt(context)
        counted_from = 1 if self.loss_on == "all" else len(prompt)
        ids = prompt + (*reply, self.tokenizer.end_id)[: self.max_tokens]
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
        marker = self.tokenizer.self_id if turn.speaker == responder else self.tokenizer.other_id
        return [marker, *self.tokenizer.encode(turn.text)]

    def _prompt(self, context: list[int]) -> tuple[int, ...]:
        room = self.max_tokens - 2  # <begin> and <self> are always kept
        newest = context[max(0, len(context) - room) :]
        return (self.tokenizer.begin_id, *newest, self.tokenizer.self_id)

    def _count_words(self, ids: Sequence[int]) -> int:
        # Counted by turn, as the last word of a turn and the first of the next one are separate words.
        turns: list[list[int]] = [[]]
        for token in ids:
            if token in (self.tokenizer.self_id, self.tokenizer.other_id):
                turns.append([])
            else:
                turns[-1].append(token)
        return sum(len(words(self.tokenizer.decode(turn))) for turn in turns)


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
