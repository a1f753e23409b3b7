"""Tasks as tensors, which samplers create and engines, algorithms and evaluation use.

This module does not import data sets or models, so that these are independent of each other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import pad

from metadialog.token_ids import BEGIN_ID, END_ID, OTHER_ID, PAD_ID, SELF_ID


@dataclass(frozen=True, slots=True)
class Batch:
    """Exchanges of one set (support or query), right-padded to one length.

    Attributes:
        inputs: token ids, int64, `[batch, time]`.
        targets: the next token of each input, int64, `[batch, time]`.
        mask: which targets count in the loss, bool, `[batch, time]`.
        words: number of reference words that the counted targets encode, int64, `[batch]`.
        buckets: the same exchanges in a few batches by length, each cropped to its longest, if that saves much padding;
            otherwise empty. The sum of losses over the buckets equals that over the batch.
        rows: rows of the batch that a bucket holds, int64, `[bucket]`; None for a whole batch.
    """

    inputs: Tensor
    targets: Tensor
    mask: Tensor
    words: Tensor
    buckets: tuple["Batch", ...] = ()
    rows: Tensor | None = None

    def to(self, device: torch.device) -> Self:
        """Return the same batch on `device`."""
        return type(self)(
            self.inputs.to(device),
            self.targets.to(device),
            self.mask.to(device),
            self.words.to(device),
            tuple(bucket.to(device) for bucket in self.buckets),
            None if self.rows is None else self.rows.to(device),
        )

    def prompts(self) -> list[tuple[int, ...]]:
        """Return the token ids of each exchange up to the marker before its response, the last marker of the row."""
        return [tuple(row[: len(row) - row[::-1].index(SELF_ID)]) for row in self.inputs.tolist()]

    def select(self, rows: Tensor) -> Self:
        """Return some of the exchanges, cropped to the longest of them.

        Args:
            rows: row numbers, int64, `[rows]`.
        """
        time = int((self.inputs[rows] != PAD_ID).sum(dim=1).max())
        inputs, targets, mask = (value[rows, :time] for value in (self.inputs, self.targets, self.mask))
        return type(self)(inputs, targets, mask, self.words[rows])


@dataclass(frozen=True, slots=True)
class Exchange:
    """One exchange as text, and as the prompt that a reply is generated from.

    Attributes:
        prompt: token ids up to and including the marker before the reply.
        context: the turns before the response, one per line, each with its speaker.
        response: the reference response.
    """

    prompt: tuple[int, ...]
    context: str
    response: str


@dataclass(frozen=True, slots=True)
class Episode:
    """One topic's support and query set, disjoint by dialogue.

    Attributes:
        topic: the topic that both sets come from.
        index: number of the episode, within its topic if held out, otherwise in the order of sampling.
        support: exchanges of the support dialogues; None with 0 shots.
        query: exchanges of the query dialogues.
        exchanges: the query's exchanges as text, in the order of the rows of `query`.
        support_ids: identifiers of the support dialogues.
        query_ids: identifiers of the query dialogues.
        support_exchanges: the support's exchanges as text, in the order of the rows of `support`.
        others: returns the exchanges of all dialogues of a held-out topic except the query's, for algorithms that adapt
            to more than the support set; they are read on the first call. None if there are none, as in training.
    """

    topic: str
    index: int
    support: Batch | None
    query: Batch
    exchanges: Sequence[Exchange]
    support_ids: tuple[str, ...]
    query_ids: tuple[str, ...]
    support_exchanges: Sequence[Exchange] = ()
    others: Callable[[], Batch] | None = None

    @property
    def shots(self) -> int:
        """Number of support dialogues."""
        return len(self.support_ids)

    def to(self, device: torch.device) -> Self:
        """Return the same episode with its tensors on `device`."""
        others = self.others
        return replace(
            self,
            support=None if self.support is None else self.support.to(device),
            query=self.query.to(device),
            others=None if others is None else cache(lambda: others().to(device)),
        )


def dialogues_of(batch: Batch) -> list[list[int]]:
    """Return the dialogues of a batch, as far as its exchanges contain them.

    If the context of an exchange ends with the response of the exchange before it, both belong to one dialogue. Each
    dialogue is `<begin>` and its turns, each after its marker; `<self>` is the speaker of the last.

    Args:
        batch: exchanges in the order of their dialogues.
    """
    dialogues: list[list[tuple[int, list[int]]]] = []  # turns: marker and tokens
    was_cut = False
    for inputs, targets in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
        row = [token for token in [*inputs, targets[-1]] if token != PAD_ID]
        ended = row[-1] == END_ID
        turns = _turns(row[1:-1] if ended else row[1:])
        is_rest = len(turns) <= 2 and row[1] not in (SELF_ID, OTHER_ID)
        marker, context = turns[-2] if len(turns) > 1 else (OTHER_ID, [])
        if dialogues and _is_said_again(dialogues[-1][-1][1], context, was_cut=was_cut, is_rest=is_rest):
            earlier = [(_other(m) if marker == OTHER_ID else m, tokens) for m, tokens in dialogues[-1]]
            dialogues[-1] = [*earlier, turns[-1]]
        else:
            dialogues.append(turns)
        was_cut = not ended
    return [[BEGIN_ID, *(token for marker, said in turns for token in (marker, *said))] for turns in dialogues]


def _turns(tokens: Sequence[int]) -> list[tuple[int, list[int]]]:
    turns: list[tuple[int, list[int]]] = []
    for token in tokens:
        if token in (SELF_ID, OTHER_ID):
            turns.append((token, []))
        elif turns:
            turns[-1][1].append(token)
        else:
            turns.append((OTHER_ID, [token]))  # the rest of a truncated turn
    return turns


def _is_said_again(response: Sequence[int], context: Sequence[int], *, was_cut: bool, is_rest: bool) -> bool:
    """Tell whether the last turn of a context is a given response; both may be truncated.

    Args:
        response: response of the exchange before.
        context: the last turn of the context.
        was_cut: whether the end of the response may be missing.
        is_rest: whether the beginning of the turn may be missing.
    """
    said, again = list(response), list(context)
    if not is_rest:
        return said == again or (was_cut and again[: len(said)] == said)
    if not was_cut:
        return said[-len(again) :] == again
    overlaps = range(1, min(len(said), len(again)) + 1)
    return any(said[-length:] == again[:length] for length in overlaps)


def _other(marker: int) -> int:
    return SELF_ID if marker == OTHER_ID else OTHER_ID


def merge(batches: Sequence[Batch]) -> Batch:
    """Merge several batches into one, right-padded to the longest.

    Args:
        batches: one or more batches.
    """
    time = max(batch.inputs.shape[1] for batch in batches)

    def padded(tensor: Tensor) -> Tensor:  # [batch, shorter] -> [batch, time]
        return pad(tensor, (0, time - tensor.shape[1]), value=PAD_ID)

    return Batch(
        inputs=torch.cat([padded(batch.inputs) for batch in batches]),
        targets=torch.cat([padded(batch.targets) for batch in batches]),
        mask=torch.cat([padded(batch.mask) for batch in batches]),
        words=torch.cat([batch.words for batch in batches]),
    )
