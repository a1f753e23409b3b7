"""Tokenized dialogues, and a memory-mapped file of those of a corpus.

The rows of the file correspond to those of the Arrow file of dialogues that it was made from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from metadialog.datasets.dialogue import Dialogue
from metadialog.datasets.dialogues import DialogueStore
from metadialog.text import words
from metadialog.tokenizers.tokenizer import Tokenizer

TOKENS = "tokens.arrow"
SCHEMA = pa.schema(
    {
        "ids": pa.list_(pa.int32()),
        "lengths": pa.list_(pa.int32()),
        "words": pa.list_(pa.int32()),
        "replies": pa.list_(pa.int8()),
    },
)

Int32 = npt.NDArray[np.int32]
Int8 = npt.NDArray[np.int8]

_OPEN_BATCHES = 4096


@dataclass(frozen=True, slots=True)
class DialogueTokens:
    """One dialogue as tokens.

    Attributes:
        ids: for each turn a negative number for its speaker, then its token ids, `[turns + tokens]`.
        lengths: number of tokens of each turn, `[turns]`.
        words: number of words of each turn, `[turns]`.
        replies: 1 for each turn that may be a reply, else 0, `[turns]`.
    """

    ids: Int32
    lengths: Int32
    words: Int32
    replies: Int8


def tokenize(dialogue: Dialogue, tokenizer: Tokenizer) -> DialogueTokens:
    """Return a dialogue as tokens."""
    texts = [turn.text for turn in dialogue.turns]
    encoded = tokenizer.encode_batch(texts)
    return DialogueTokens(
        ids=_with_speakers(encoded, _numbers([turn.speaker for turn in dialogue.turns])),
        lengths=np.array([len(ids) for ids in encoded], np.int32),
        words=np.array([len(words(text)) for text in texts], np.int32),
        replies=np.array([turn.reply for turn in dialogue.turns], np.int8),
    )


def write_tokens(store: DialogueStore, tokenizer: Tokenizer, folder: Path) -> None:
    """Write the tokens of all dialogues of a store, in constant memory.

    Args:
        store: the dialogues.
        tokenizer: encodes the texts, on all cores.
        folder: an existing, empty folder.
    """
    with pa.OSFile(str(folder / TOKENS), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as out:
        for batch, _ in store.scan():
            out.write_batch(_encode_batch(batch, tokenizer))


def _encode_batch(batch: pa.RecordBatch, tokenizer: Tokenizer) -> pa.RecordBatch:
    turns = batch.column("turns")
    offsets = _values(turns.offsets)  # [dialogues + 1], of turns
    speakers = turns.values.field("speaker").to_pylist()
    encoded = tokenizer.encode_batch(turns.values.field("text").to_pylist())
    numbers = [n for start, end in pairwise(offsets) for n in _numbers(speakers[start:end])]
    lengths = [len(ids) for ids in encoded]
    ends = np.fromiter(accumulate((length + 1 for length in lengths), initial=0), np.int32)  # [turns + 1], of ids
    ids = pa.ListArray.from_arrays(pa.array(ends[offsets]), pa.array(_with_speakers(encoded, numbers)))
    lists = pa.ListArray.from_arrays(turns.offsets, pa.array(lengths, pa.int32()))
    counts = pa.ListArray.from_arrays(turns.offsets, turns.values.field("words"))
    flags = pa.ListArray.from_arrays(turns.offsets, turns.values.field("reply").cast(pa.int8()))
    return pa.record_batch([ids, lists, counts, flags], schema=SCHEMA)


def _numbers(speakers: Sequence[str]) -> list[int]:
    """Return a negative number for each turn: -1 for the first speaker, -2 for the second, ..."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(speaker, -len(numbers) - 1) for speaker in speakers]


def _with_speakers(encoded: Sequence[Sequence[int]], numbers: Sequence[int]) -> Int32:
    return np.array([i for ids, n in zip(encoded, numbers, strict=True) for i in (n, *ids)], np.int32)


def _values(array: pa.Array) -> npt.NDArray[Any]:
    """Return the values of an array without copying them; `to_numpy` would import pandas."""
    values: npt.NDArray[Any] = np.from_dlpack(array)
    return values


@dataclass(frozen=True, slots=True)
class _Columns:
    """A record batch as arrays: values of lists, and the positions of the lists."""

    ids: Int32
    ids_at: Int32
    lengths: Int32
    words: Int32
    replies: Int8
    turns_at: Int32


class TokenStore:
    """The tokens of the dialogues of a store, by row."""

    def __init__(self, folder: Path, dialogues: DialogueStore) -> None:
        """Open the file that `write_tokens` wrote for these dialogues."""
        self.dialogues = dialogues
        self._mapped = pa.ipc.open_file(pa.memory_map(str(folder / TOKENS)))
        self._columns = lru_cache(_OPEN_BATCHES)(self._open)

    def tokens(self, row: int) -> DialogueTokens:
        """Return the tokens of one dialogue; only its pages are read."""
        number, index = self.dialogues.locate(row)
        columns = self._columns(number)
        ids = slice(columns.ids_at[index], columns.ids_at[index + 1])
        turns = slice(columns.turns_at[index], columns.turns_at[index + 1])
        return DialogueTokens(columns.ids[ids], columns.lengths[turns], columns.words[turns], columns.replies[turns])

    def _open(self, number: int) -> _Columns:
        ids, lengths, counts, replies = self._mapped.get_batch(number).columns
        return _Columns(
            ids=_values(ids.values),
            ids_at=_values(ids.offsets),
            lengths=_values(lengths.values),
            words=_values(counts.values),
            replies=_values(replies.values),
            turns_at=_values(lengths.offsets),
        )


class PreparedTokenizer(Tokenizer):
    """A tokenizer together with a tokenized corpus, which samplers do not need to tokenize again."""

    def __init__(self, tokenizer: Tokenizer, prepared: TokenStore) -> None:
        """Combine a tokenizer with the tokens of a corpus."""
        super().__init__(tokenizer.backend)
        self.prepared = prepared
