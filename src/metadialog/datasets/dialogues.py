"""Collections of dialogues: rows of an Arrow table, in memory or mapped from a file."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Self, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from metadialog.datasets.dialogue import MIN_TURNS, Dialogue, Turn
from metadialog.errors import DataError
from metadialog.text import words

SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "topic": pa.string(),
        "turns": pa.list_(
            pa.struct({"speaker": pa.string(), "text": pa.string(), "words": pa.int32(), "reply": pa.bool_()})
        ),
    }
)

Integers = npt.NDArray[np.integer[Any]]

_OPEN_BATCHES = 512


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths of some dialogues.

    Attributes:
        turns: of each dialogue, int, `[dialogues]`.
        words: of each turn, int, `[turns]`.
    """

    turns: Integers
    words: Integers


def lay_out(dialogues: Sequence[Dialogue]) -> pa.RecordBatch:
    """Convert dialogues to columns, as in `SCHEMA`."""
    turns = [turn for dialogue in dialogues for turn in dialogue.turns]
    columns = {
        "speaker": _strings([turn.speaker for turn in turns]),
        "text": _strings([turn.text for turn in turns]),
        "words": integers([len(words(turn.text)) for turn in turns]),
        "reply": integers([turn.reply for turn in turns]).cast(pa.bool_()),
    }
    offsets = integers([*accumulate((len(dialogue.turns) for dialogue in dialogues), initial=0)])
    listed = pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays([*columns.values()], [*columns]))
    ids = _strings([dialogue.id for dialogue in dialogues])
    topics = _strings([dialogue.topic for dialogue in dialogues])
    return pa.record_batch([ids, topics, listed], schema=SCHEMA)


def integers(values: Sequence[int]) -> pa.Int32Array:
    """Return integers as an Arrow array; unlike `pa.array` this does not import pandas."""
    return pa.Int32Array.from_buffers(pa.int32(), len(values), [None, pa.py_buffer(np.array(values, np.int32))])


def _strings(values: Sequence[str]) -> pa.StringArray:
    """Return texts as an Arrow array."""
    encoded = [value.encode() for value in values]
    offsets = np.cumsum([0, *map(len, encoded)]).astype(np.int32)
    return pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded)))


class DialogueStore:
    """Record batches of dialogues, in memory or mapped from an Arrow file."""

    def __init__(self, source: Sequence[pa.RecordBatch] | Path, starts: Sequence[int]) -> None:
        """Open the source.

        Args:
            source: the record batches, or the path of an Arrow file (IPC format) of them.
            starts: first row of each record batch, and the number of rows.
        """
        self._source = source
        self._starts = list(starts)
        self._batch: Callable[[int], pa.RecordBatch]
        if isinstance(source, Path):
            mapped = pa.ipc.open_file(pa.memory_map(str(source)))
            self._batch = lru_cache(_OPEN_BATCHES)(mapped.get_batch)
        else:
            self._batch = source.__getitem__

    @classmethod
    def in_memory(cls, batches: Sequence[pa.RecordBatch]) -> Self:
        """Return a store of record batches."""
        return cls(batches, [0, *accumulate(batch.num_rows for batch in batches)])

    def __len__(self) -> int:
        """Return the number of dialogues."""
        return self._starts[-1]

    def dialogue(self, row: int) -> Dialogue:
        """Return one dialogue; only its pages are read."""
        number, position = self.locate(row)
        return _dialogue(self._batch(number), position)

    def id(self, row: int) -> str:
        """Return the id of one dialogue."""
        number, position = self.locate(row)
        return str(self._batch(number).column("id")[position].as_py())

    def locate(self, row: int) -> tuple[int, int]:
        """Return the number of the record batch that holds a row, and the position of the row in it."""
        number = bisect_right(self._starts, row) - 1
        return number, row - self._starts[number]

    def scan(self, rows: Integers | None = None) -> Iterator[tuple[pa.RecordBatch, Integers]]:
        """Yield the record batches that contain the given rows, with the positions of the rows in them.

        A file is read rather than mapped, so that a full scan does not fill memory.

        Args:
            rows: rows in ascending order; None for all.
        """
        if isinstance(self._source, Path):
            with pa.OSFile(str(self._source)) as file:
                yield from self._scan(pa.ipc.open_file(file).get_batch, rows)
        else:
            yield from self._scan(self._batch, rows)

    def _scan(
        self, get_batch: Callable[[int], pa.RecordBatch], rows: Integers | None
    ) -> Iterator[tuple[pa.RecordBatch, Integers]]:
        wanted = np.arange(len(self)) if rows is None else rows
        bounds = np.searchsorted(wanted, self._starts)
        for number, (start, end) in enumerate(pairwise(bounds)):
            if start < end:
                yield get_batch(number), wanted[start:end] - self._starts[number]


class Dialogues(Sequence[Dialogue]):
    """A lazy sequence of dialogues of two turns or more."""

    def __init__(self, store: DialogueStore, rows: Integers) -> None:
        """Set the store and the rows, each of which should hold a dialogue of two turns or more."""
        self.store = store
        self.rows = rows

    @classmethod
    def of(cls, dialogues: Iterable[Dialogue]) -> "Dialogues":
        """Convert dialogues to this type, in memory; objects of this type are returned unchanged.

        Raises:
            DataError: a dialogue has no response: no turn beyond the first that is a reply.
        """
        if isinstance(dialogues, cls):
            return dialogues
        listed = list(dialogues)
        for dialogue in listed:
            if not any(turn.reply for turn in dialogue.turns[1:]):
                raise DataError(f"dialogue {dialogue.id}: has no response; it should have {MIN_TURNS} turns")
        return cls(DialogueStore.in_memory([lay_out(listed)]), np.arange(len(listed)))

    def __len__(self) -> int:
        """Return the number of dialogues."""
        return len(self.rows)

    @overload
    def __getitem__(self, position: int) -> Dialogue: ...

    @overload
    def __getitem__(self, position: slice) -> "Dialogues": ...

    def __getitem__(self, position: int | slice) -> "Dialogue | Dialogues":
        """Return one dialogue, or a lazy slice."""
        if isinstance(position, slice):
            return self.pick(range(*position.indices(len(self))))
        return self.store.dialogue(int(self.rows[position]))

    def pick(self, positions: Sequence[int]) -> "Dialogues":
        """Return the dialogues at some positions, lazily."""
        return Dialogues(self.store, self.rows[np.asarray(positions, dtype=np.int64)])

    def ids(self) -> tuple[str, ...]:
        """Return the ids of the dialogues."""
        return tuple(self.store.id(row) for row in self.rows.tolist())

    def __iter__(self) -> Iterator[Dialogue]:
        """Read all dialogues, in one pass if they are in reading order."""
        if np.any(np.diff(self.rows) < 0):
            yield from map(self.store.dialogue, self.rows.tolist())
            return
        for batch, positions in self.store.scan(self.rows):
            for position in positions.tolist():
                yield _dialogue(batch, position)

    def __eq__(self, other: object) -> bool:
        """Compare the dialogues one by one, independent of their storage."""
        return isinstance(other, Dialogues) and len(self) == len(other) and all(map(Dialogue.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]  # as other collections compared by value

    def lengths(self) -> Iterator[Lengths]:
        """Yield the lengths of all dialogues in batches."""
        for batch, positions in self.store.scan(np.sort(self.rows)):
            turns = batch.column("turns")
            # By DLPack, as pyarrow's to_numpy imports pandas, which takes as long as all other imports of `data`.
            counts = np.diff(np.from_dlpack(turns.offsets))  # [dialogues of the batch]
            lengths = np.from_dlpack(turns.flatten().field("words"))  # [turns of the batch]
            wanted = np.zeros(len(counts), bool)
            wanted[positions] = True
            yield Lengths(counts[wanted], lengths[np.repeat(wanted, counts)])


def _dialogue(batch: pa.RecordBatch, position: int) -> Dialogue:
    turns = batch.column("turns")
    start, end = turns.offsets[position].as_py(), turns.offsets[position + 1].as_py()
    spoken = turns.values.slice(start, end - start)
    columns = (spoken.field(name).to_pylist() for name in ("speaker", "text", "reply"))
    return Dialogue(
        topic=batch.column("topic")[position].as_py(),
        turns=tuple(map(Turn, *columns)),
        id=batch.column("id")[position].as_py(),
    )
