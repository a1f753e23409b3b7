"""A corpus on disk: written once, then read through a memory map, so that its size does not matter.

A folder with

- `dialogues.arrow`: an Arrow file (IPC format) of the clean dialogues in reading order, as `chunks.SCHEMA`;
- `rows.npy`: the places of the dialogues in it, topic after topic, each in reading order;
- `corpus.json`: the name, the topics with their sizes, where record batches begin, and what cleaning took out.
"""

import json
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from metadialog.datasets.chunks import SCHEMA, read_chunks
from metadialog.datasets.corpus import Corpus, Dropped, nothing_left
from metadialog.datasets.dialogue import Dataset, Dialogue, Turn
from metadialog.datasets.seen import Seen

DIALOGUES = "dialogues.arrow"
ROWS = "rows.npy"
CORPUS = "corpus.json"

Integers = npt.NDArray[np.integer[Any]]

_OPEN_BATCHES = 512


def write_store(source: Dataset, folder: Path) -> None:
    """Read a data set, clean its dialogues as `build_corpus` does, and write them.

    Memory does not grow with their number, but for 20 bytes a dialogue at the end, where they are put in order.

    Args:
        source: read once.
        folder: an existing, empty folder.

    Raises:
        DataError: no dialogue is left; also whatever reading the dialogues raises.
    """
    counts: Counter[str] = Counter()
    numbers: dict[str, int] = {}
    topic_of_row = array("i")
    starts = [0]
    with pa.OSFile(str(folder / DIALOGUES), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as out, Seen() as seen:
        for chunk in read_chunks(source):
            counts["blank_turns"] += chunk.blank_turns
            counts["short"] += chunk.short
            for name in chunk.topics:
                numbers.setdefault(name, len(numbers))
            topics = [numbers[topic] for topic in chunk.dialogues.column("topic").to_pylist()]
            kept = []
            for place, (key, topic) in enumerate(zip(chunk.keys, topics, strict=True)):
                earlier = seen.first(key, topic)
                if earlier is None:
                    kept.append(place)
                    topic_of_row.append(topic)
                else:
                    counts["duplicates_within" if earlier == topic else "duplicates_across"] += 1
            if kept:
                out.write_batch(chunk.dialogues if len(kept) == len(topics) else chunk.dialogues.take(pa.array(kept)))
                starts.append(starts[-1] + len(kept))
    by_number = np.frombuffer(topic_of_row, dtype=np.int32)
    sizes = np.bincount(by_number, minlength=len(numbers))
    dropped = Dropped(
        blank_turns=counts["blank_turns"],
        short=counts["short"],
        duplicates_within=counts["duplicates_within"],
        duplicates_across=counts["duplicates_across"],
        topics=tuple(sorted(topic for topic, number in numbers.items() if not sizes[number])),
    )
    if not topic_of_row:
        raise nothing_left(source.name, dropped)
    ends = np.cumsum(sizes)
    spans = {topic: [int(ends[n] - sizes[n]), int(ends[n])] for topic, n in sorted(numbers.items()) if sizes[n]}
    np.save(folder / ROWS, np.argsort(by_number, kind="stable"))
    corpus = {"name": source.name, "topics": spans, "starts": starts, "dropped": asdict(dropped)}
    (folder / CORPUS).write_text(json.dumps(corpus), encoding="utf-8")


def open_store(folder: Path) -> Corpus:
    """Return the corpus that `write_store` has written."""
    corpus = json.loads((folder / CORPUS).read_text(encoding="utf-8"))
    store = DialogueStore(folder / DIALOGUES, corpus["starts"])
    rows = np.load(folder / ROWS, mmap_mode="r")  # [dialogues]
    topics = {topic: StoredDialogues(store, rows[start:end]) for topic, (start, end) in corpus["topics"].items()}
    dropped = corpus["dropped"] | {"topics": tuple(corpus["dropped"]["topics"])}
    return Corpus(corpus["name"], topics, Dropped(**dropped))


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths of some dialogues.

    Attributes:
        turns: of each dialogue, int, `[dialogues]`.
        words: of each turn, int, `[turns]`.
    """

    turns: Integers
    words: Integers


class DialogueStore:
    """The dialogues of an Arrow file by row."""

    def __init__(self, path: Path, starts: Sequence[int]) -> None:
        """Open the file.

        Args:
            path: of the Arrow file.
            starts: the row that each record batch begins with, and the number of rows.
        """
        self.path = path
        self._starts = list(starts)
        self._mapped = pa.ipc.open_file(pa.memory_map(str(path)))
        self._batch = lru_cache(_OPEN_BATCHES)(self._mapped.get_batch)

    def __len__(self) -> int:
        """Return the number of dialogues."""
        return self._starts[-1]

    def dialogue(self, row: int) -> Dialogue:
        """Return one dialogue, of which alone the pages are read."""
        number, place = self.locate(row)
        return _dialogue(self._batch(number), place)

    def id(self, row: int) -> str:
        """Return the id of one dialogue."""
        number, place = self.locate(row)
        return str(self._batch(number).column("id")[place].as_py())

    def locate(self, row: int) -> tuple[int, int]:
        """Return the number of the record batch that holds a row, and the place of the row in it."""
        number = bisect_right(self._starts, row) - 1
        return number, row - self._starts[number]

    def scan(self, rows: Integers | None = None) -> Iterator[tuple[pa.RecordBatch, Integers]]:
        """Yield the record batches that hold some rows, with the places of those rows in them.

        They are read rather than mapped: a scan of all leaves nothing behind in memory.

        Args:
            rows: in ascending order; None for all.
        """
        with pa.OSFile(str(self.path)) as file:
            reader = pa.ipc.open_file(file)
            wanted = np.arange(len(self)) if rows is None else rows
            bounds = np.searchsorted(wanted, self._starts)
            for number, (start, end) in enumerate(pairwise(bounds)):
                if start < end:
                    yield reader.get_batch(number), wanted[start:end] - self._starts[number]


class StoredDialogues(Sequence[Dialogue]):
    """The dialogues of one topic, each read when it is asked for; they are clean, of two turns or more."""

    def __init__(self, store: DialogueStore, rows: Integers) -> None:
        """Name the rows of the store."""
        self.store = store
        self.rows = rows

    def __len__(self) -> int:
        """Return the number of dialogues."""
        return len(self.rows)

    @overload
    def __getitem__(self, place: int) -> Dialogue: ...

    @overload
    def __getitem__(self, place: slice) -> "StoredDialogues": ...

    def __getitem__(self, place: int | slice) -> "Dialogue | StoredDialogues":
        """Return one dialogue, or some of them that are still to be read."""
        if isinstance(place, slice):
            return self.pick(range(*place.indices(len(self))))
        return self.store.dialogue(int(self.rows[place]))

    def pick(self, places: Sequence[int]) -> "StoredDialogues":
        """Return some of them in the order of their places, still to be read."""
        return StoredDialogues(self.store, self.rows[np.asarray(places, dtype=np.int64)])

    def ids(self) -> list[str]:
        """Return their ids."""
        return [self.store.id(row) for row in self.rows.tolist()]

    def __iter__(self) -> Iterator[Dialogue]:
        """Read all of them; in one pass if they are in reading order."""
        if np.any(np.diff(self.rows) < 0):
            yield from map(self.store.dialogue, self.rows.tolist())
            return
        for batch, places in self.store.scan(self.rows):
            for place in places.tolist():
                yield _dialogue(batch, place)

    def lengths(self) -> Iterator[Lengths]:
        """Yield the lengths of all of them, some at a time."""
        for batch, places in self.store.scan(self.rows):
            turns = batch.column("turns")
            # By DLPack, as pyarrow's own to_numpy imports pandas, which takes as long as all else that `data` imports.
            counts = np.diff(np.from_dlpack(turns.offsets))  # [dialogues of the batch]
            words = np.from_dlpack(turns.flatten().field("words"))  # [turns of the batch]
            wanted = np.zeros(len(counts), bool)
            wanted[places] = True
            yield Lengths(counts[wanted], words[np.repeat(wanted, counts)])


def _dialogue(batch: pa.RecordBatch, place: int) -> Dialogue:
    turns = batch.column("turns")
    start, end = turns.offsets[place].as_py(), turns.offsets[place + 1].as_py()
    spoken = turns.values.slice(start, end - start)
    speakers, texts = spoken.field("speaker").to_pylist(), spoken.field("text").to_pylist()
    return Dialogue(
        topic=batch.column("topic")[place].as_py(),
        turns=tuple(map(Turn, speakers, texts)),
        id=batch.column("id")[place].as_py(),
    )
