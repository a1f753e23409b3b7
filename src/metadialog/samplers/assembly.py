"""Vectorised assembly of tokenized dialogues into padded batches of exchanges."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from metadialog.episodes import Batch
from metadialog.samplers.buckets import buckets
from metadialog.samplers.tokens import DialogueTokens
from metadialog.text import words
from metadialog.token_ids import PAD_ID
from metadialog.tokenizers.tokenizer import Tokenizer

Integers = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Limits:
    """How exchanges are truncated and counted; see `ExchangeEncoder`.

    Attributes:
        context_turns: maximum number of turns of a context.
        max_tokens: maximum number of tokens of a prompt, and of a response.
        counts_context: whether the context also counts in the loss.
    """

    context_turns: int
    max_tokens: int
    counts_context: bool


@dataclass(frozen=True, slots=True)
class _Spans:
    """Positions of exchanges in concatenated dialogues, `[exchanges]` each.

    The context and the response of an exchange are adjacent there, with the numbers of the speakers in the place of the
    markers, so a sequence is one span, between `<begin>` and `<end>`.

    Attributes:
        response: turn of the response.
        start: position of the beginning of the span.
        context: number of tokens and markers of the context in the span.
        reply: number of tokens of the response in the span.
        length: length of the whole sequence.
    """

    response: Integers
    start: Integers
    context: Integers
    reply: Integers
    length: Integers


def assemble(dialogues: Sequence[DialogueTokens], tokenizer: Tokenizer, limits: Limits) -> Batch:
    """Return all exchanges of some dialogues as one batch, right-padded to the longest.

    Args:
        dialogues: dialogues of two turns or more.
        tokenizer: the tokenizer that encoded them.
        limits: how exchanges are truncated and counted.
    """
    flat = np.concatenate([dialogue.ids for dialogue in dialogues])  # [turns + tokens]
    lengths = np.concatenate([dialogue.lengths for dialogue in dialogues]).astype(np.int64)  # [turns]
    counts = np.concatenate([dialogue.words for dialogue in dialogues])  # [turns]
    turns = np.array([len(dialogue.lengths) for dialogue in dialogues])
    at = np.concatenate([[0], np.cumsum(lengths + 1)])  # [turns + 1], positions of the turns in flat
    replies = np.concatenate([dialogue.replies for dialogue in dialogues]).astype(bool)  # [turns]
    spans = _spans(lengths, at, turns, replies, limits)
    ids = _sequences(flat, at, spans, tokenizer)  # [exchanges, time + 1]
    targets = np.arange(1, ids.shape[1])
    counted_from = np.ones_like(spans.context) if limits.counts_context else spans.context + 2
    mask = (targets >= counted_from[:, None]) & (targets < spans.length[:, None])
    words_of = _words(flat, at, counts, spans, tokenizer, limits)

    def crop(rows: Integers, *, bucket: bool) -> Batch:
        time = int(spans.length[rows].max()) - 1
        return Batch(
            inputs=torch.from_numpy(ids[rows, :time]),
            targets=torch.from_numpy(ids[rows, 1 : time + 1]),
            mask=torch.from_numpy(mask[rows, :time]),
            words=torch.from_numpy(words_of[rows]),
            rows=torch.from_numpy(rows) if bucket else None,
        )

    whole = crop(np.arange(len(ids)), bucket=False)
    return replace(whole, buckets=tuple(crop(rows, bucket=True) for rows in buckets(spans.length - 1)))


def _spans(lengths: Integers, at: Integers, turns: Integers, replies: npt.NDArray[np.bool_], limits: Limits) -> _Spans:
    first = np.repeat(np.cumsum(turns) - turns, turns)  # [turns], the first turn of the same dialogue
    response = np.flatnonzero((np.arange(len(lengths)) > first) & replies)
    context_begin = np.maximum(first[response], response - limits.context_turns)
    reply = np.minimum(lengths[response], limits.max_tokens)
    kept = np.minimum(lengths[response] + 1, limits.max_tokens)  # the reply and <end>
    context = np.minimum(at[response] - at[context_begin], limits.max_tokens - 2)  # without <begin> and <self>
    return _Spans(response, at[response] - context, context, reply, 2 + context + kept)


def _sequences(flat: Integers, at: Integers, spans: _Spans, tokenizer: Tokenizer) -> npt.NDArray[np.int64]:
    """Return `<begin>`, the span and `<end>` of each exchange, padded, `[exchanges, time + 1]`."""
    time = int(spans.length.max()) - 1
    positions = np.arange(time)
    span = flat[np.minimum(spans.start[:, None] + positions, len(flat) - 1)]  # [exchanges, time]
    responder = flat[at[spans.response]][:, None]
    span = np.where(span >= 0, span, np.where(span == responder, tokenizer.self_id, tokenizer.other_id))
    inside = positions < (spans.context + 1 + spans.reply)[:, None]
    ids = np.full((len(span), time + 1), PAD_ID, np.int64)
    ids[:, 0] = tokenizer.begin_id
    ids[:, 1:] = np.where(inside, span, PAD_ID)
    ended = np.flatnonzero(spans.length > 2 + spans.context + spans.reply)
    ids[ended, spans.length[ended] - 1] = tokenizer.end_id
    return ids


def _words(
    flat: Integers, at: Integers, counts: Integers, spans: _Spans, tokenizer: Tokenizer, limits: Limits
) -> npt.NDArray[np.int64]:
    """Return the number of words that the counted tokens of each exchange encode, `[exchanges]`.

    The words of a complete turn are known; what is left of a truncated turn is decoded here.
    """
    result = counts[spans.response].astype(np.int64)
    begins = at[spans.response] + 1
    for i in np.flatnonzero(begins + spans.reply < at[spans.response + 1]):
        result[i] = _count(flat[begins[i] : begins[i] + spans.reply[i]], tokenizer)
    if not limits.counts_context:
        return result
    up_to = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])  # [turns + 1]
    whole = np.searchsorted(at, spans.start)  # [exchanges], the first turn that begins within the span
    result += up_to[spans.response] - up_to[whole]
    for i in np.flatnonzero(at[whole] > spans.start):
        result[i] += _count(flat[spans.start[i] : at[whole[i]]], tokenizer)
    return result


def _count(ids: Integers, tokenizer: Tokenizer) -> int:
    return len(words(tokenizer.decode(ids.tolist())))
