"""Clean corpora: topics with their dialogues, and what was dropped and why.

A corpus is built in memory, or written to a folder and read through a memory map, so that its size does not matter.
The folder holds

- `dialogues.arrow`: an Arrow file (IPC format) of the clean dialogues in reading order, as `dialogues.SCHEMA`;
- `rows.npy`: the positions of the dialogues in that file, topic by topic, each in reading order;
- `twins.npy`: dialogues that begin others (`Corpus.twins`);
- `corpus.json`: the name, the topics with their sizes, where record batches begin, and what cleaning removed.
"""

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from metadialog.datasets.chunks import SHOWN, Chunk, cleaning_of, prepare_all, read_chunks
from metadialog.datasets.cleaning import Cleaning
from metadialog.datasets.dialogue import MIN_TURNS, Dataset, Dialogue
from metadialog.datasets.dialogues import SCHEMA, Dialogues, DialogueStore, Integers, integers
from metadialog.datasets.seen import Seen
from metadialog.datasets.similar import near_duplicates
from metadialog.datasets.twins import Twins, joined
from metadialog.errors import DataError

DIALOGUES = "dialogues.arrow"
ROWS = "rows.npy"
TWINS = "twins.npy"
CORPUS = "corpus.json"


@dataclass(frozen=True, slots=True)
class Dropped:
    """What cleaning removed from a corpus.

    Attributes:
        blank_turns: turns of only white space, which were removed from their dialogues.
        short: dialogues of fewer than two turns, which have no reply to learn.
        duplicates_within: dialogues that equal an earlier one of the same topic.
        duplicates_across: dialogues that equal an earlier one of another topic.
        topics: topics without a dialogue left, sorted.
        one_speaker: dialogues with only one speaker.
        one_sided: ids of some of these.
        no_reply: dialogues without a reply of the speaker that `dataset.responses` names.
        left_out: dialogues that the options of the data set leave out, by reason.
        twins: dialogues that begin, or are begun by, one in another part of the split.
        near_duplicates: similarity from which a dialogue also counts as a twin; None for no such limit.
    """

    blank_turns: int
    short: int
    duplicates_within: int
    duplicates_across: int
    topics: tuple[str, ...]
    one_speaker: int = 0
    one_sided: tuple[str, ...] = ()
    no_reply: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    twins: int = 0
    near_duplicates: float | None = None

    @property
    def dialogues(self) -> int:
        """Number of removed dialogues."""
        cleaned = self.short + self.one_speaker + self.no_reply + self.duplicates_within + self.duplicates_across
        return cleaned + self.twins + sum(self.left_out.values())

    @property
    def twin(self) -> str:
        """Description of what makes a dialogue a twin of another one."""
        begins = "beginning, or begun by, one"
        if self.near_duplicates is None:
            return begins
        return f"{begins} (or sharing {self.near_duplicates:.0%} of their word pairs with one)"

    def reasons(self) -> tuple[tuple[str, int], ...]:
        """Return a description and the count of each reason that applied."""
        named = f" ({', '.join(self.one_sided)}{', ...' if self.one_speaker > len(self.one_sided) else ''})"
        counts = (
            *self.left_out.items(),
            ("turns of only white space", self.blank_turns),
            ("dialogues of fewer than two turns", self.short),
            (f"dialogues with only one speaker{named}; dataset.one_speaker=keep keeps them", self.one_speaker),
            ("dialogues without a reply of the speaker that dataset.responses names", self.no_reply),
            ("duplicates of a dialogue of the same topic", self.duplicates_within),
            ("duplicates of a dialogue of another topic", self.duplicates_across),
            (f"dialogues {self.twin} in another part of the split", self.twins),
            ("topics without a dialogue left", len(self.topics)),
        )
        return tuple((agreeing(reason, count), count) for reason, count in counts if count)


@dataclass(frozen=True, slots=True)
class Corpus:
    """A cleaned data set.

    Attributes:
        name: name of the data set.
        topics: dialogues of each topic, in reading order; the topics are sorted.
        dropped: what cleaning removed.
        twins: rows of the store whose dialogue begins another one or is begun by one, or is a near duplicate if
            `dataset.near_duplicates` is set, int, `[twins, 2]`: the row, and the first row of its group.
    """

    name: str
    topics: Mapping[str, Dialogues]
    dropped: Dropped
    twins: Integers = field(default_factory=lambda: np.empty((0, 2), np.int64), compare=False)

    @property
    def store(self) -> DialogueStore:
        """The store of all dialogues."""
        return next(iter(self.topics.values())).store

    @property
    def sizes(self) -> dict[str, int]:
        """Number of dialogues of each topic."""
        return {topic: len(dialogues) for topic, dialogues in self.topics.items()}


class Cleaner:
    """Removes duplicates from chunks of dialogues, and collects the statistics of the rest.

    Two dialogues are duplicates if their texts are the same in the same order, regardless of the speakers and after
    Unicode NFKC, case folding and folding of white space. Of duplicates only the first in reading order is kept, as a
    test dialogue that is also in another topic could have been trained on.
    """

    def __init__(self, name: str, near_duplicates: float | None = None) -> None:
        """Initialise the cleaner.

        Args:
            name: name of the data set, for messages.
            near_duplicates: similarity from which dialogues are twins; None for no such limit.
        """
        self._name = name
        self._near_duplicates = near_duplicates
        self._counts: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()
        self._one_sided: list[str] = []
        self._numbers: dict[str, int] = {}
        self._topic_of_row = array("i")
        self.starts = [0]
        self.twins: Integers = np.empty((0, 2), np.int64)

    def clean(self, chunks: Iterable[Chunk]) -> Iterator[pa.RecordBatch]:
        """Yield the remaining dialogues of each chunk."""
        with Seen() as seen, Twins() as twins:
            for chunk in chunks:
                kept = self._places(chunk, seen)
                ends = np.cumsum(np.diff(np.from_dlpack(chunk.dialogues.column("turns").offsets)) - MIN_TURNS)
                for position in kept:
                    starts = chunk.starts[(ends[position - 1] if position else 0) : ends[position]]
                    twins.add(int.from_bytes(chunk.keys[position][:8], "little"), starts)
                if kept:
                    whole = len(kept) == chunk.dialogues.num_rows
                    yield chunk.dialogues if whole else chunk.dialogues.take(integers(kept))
                    self.starts.append(self.starts[-1] + len(kept))
            self.twins = twins.groups()

    def _places(self, chunk: Chunk, seen: Seen) -> list[int]:
        """Return the positions of the dialogues of a chunk that do not equal an earlier one."""
        self._counts.update(chunk.counts)
        self._left_out.update(chunk.left_out)
        self._one_sided = [*self._one_sided, *chunk.one_sided][:SHOWN]
        for name in chunk.topics:
            self._numbers.setdefault(name, len(self._numbers))
        topics = [self._numbers[topic] for topic in chunk.dialogues.column("topic").to_pylist()]
        kept = []
        for index, (key, topic) in enumerate(zip(chunk.keys, topics, strict=True)):
            earlier = seen.first(key, topic)
            if earlier is None:
                kept.append(index)
                self._topic_of_row.append(topic)
            else:
                self._counts["duplicates_within" if earlier == topic else "duplicates_across"] += 1
        return kept

    def twins_in(self, store: DialogueStore) -> Integers:
        """Return the twins in a store of the dialogues that `clean` has yielded; see `Corpus.twins`."""
        if self._near_duplicates is None:
            return self.twins
        near = near_duplicates(Dialogues(store, np.arange(len(store))), self._near_duplicates)
        return joined(chain(self.twins.tolist(), ((pair.one, pair.other) for pair in near)))

    def result(self) -> tuple[Integers, dict[str, tuple[int, int]], Dropped]:
        """Return the rows of the dialogues by topic, the span of each topic, and what was dropped.

        Raises:
            DataError: no dialogue is left.
        """
        by_number = np.frombuffer(self._topic_of_row, dtype=np.int32)
        sizes = np.bincount(by_number, minlength=len(self._numbers))
        dropped = Dropped(
            blank_turns=self._counts["blank_turns"],
            short=self._counts["short"],
            duplicates_within=self._counts["duplicates_within"],
            duplicates_across=self._counts["duplicates_across"],
            topics=tuple(sorted(topic for topic, number in self._numbers.items() if not sizes[number])),
            one_speaker=self._counts["one_speaker"],
            one_sided=tuple(self._one_sided),
            no_reply=self._counts["no_reply"],
            left_out=dict(self._left_out),
            near_duplicates=self._near_duplicates,
        )
        if not self._topic_of_row:
            why = "; ".join(f"{count} {reason}" for reason, count in dropped.reasons())
            raise DataError(
                f"dataset {self._name}: no dialogue is left of {dropped.dialogues} read; "
                f"it should hold dialogues of two turns or more{f' ({why})' if why else ''}"
            )
        ends = np.cumsum(sizes)
        spans = {
            topic: (int(ends[number] - sizes[number]), int(ends[number]))
            for topic, number in sorted(self._numbers.items())
            if sizes[number]
        }
        return np.argsort(by_number, kind="stable"), spans, dropped


def build_corpus(dialogues: Iterable[Dialogue], name: str, cleaning: Cleaning | None = None) -> Corpus:
    """Clean dialogues and group them by topic, in memory.

    Each is cleaned by itself (see `Cleaning`), then duplicates are removed (see `Cleaner`).

    Args:
        dialogues: dialogues, which are read once.
        name: name of the data set, for the corpus and its messages.
        cleaning: options of cleaning; None for the defaults.

    Raises:
        DataError: no dialogue is left, or reading fails.
    """
    cleaning = cleaning or Cleaning()
    cleaner = Cleaner(name, cleaning.near_duplicates)
    store = DialogueStore.in_memory(list(cleaner.clean(prepare_all(dialogues, cleaning))))
    rows, spans, dropped = cleaner.result()
    topics = {topic: Dialogues(store, rows[start:end]) for topic, (start, end) in spans.items()}
    return Corpus(name, topics, dropped, cleaner.twins_in(store))


def write_store(source: Dataset, folder: Path) -> None:
    """Read a data set, clean its dialogues like `build_corpus`, and write them.

    Memory is constant except for 20 bytes per dialogue for sorting; the search for near duplicates needs all word
    pairs.

    Args:
        source: data set, which is read once.
        folder: an existing, empty folder.

    Raises:
        DataError: no dialogue is left, or reading fails.
    """
    cleaner = Cleaner(source.name, cleaning_of(source).near_duplicates)
    with pa.OSFile(str(folder / DIALOGUES), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as out:
        for batch in cleaner.clean(read_chunks(source)):
            out.write_batch(batch)
    rows, spans, dropped = cleaner.result()
    np.save(folder / ROWS, rows)
    np.save(folder / TWINS, cleaner.twins_in(DialogueStore(folder / DIALOGUES, cleaner.starts)))
    corpus = {"name": source.name, "topics": spans, "starts": cleaner.starts, "dropped": asdict(dropped)}
    (folder / CORPUS).write_text(json.dumps(corpus), encoding="utf-8")


def open_store(folder: Path) -> Corpus:
    """Open a corpus written by `write_store`."""
    corpus = json.loads((folder / CORPUS).read_text(encoding="utf-8"))
    store = DialogueStore(folder / DIALOGUES, corpus["starts"])
    rows = np.load(folder / ROWS, mmap_mode="r")  # [dialogues]
    topics = {topic: Dialogues(store, rows[start:end]) for topic, (start, end) in corpus["topics"].items()}
    dropped = corpus["dropped"] | {name: tuple(corpus["dropped"][name]) for name in ("topics", "one_sided")}
    return Corpus(corpus["name"], topics, Dropped(**dropped), np.load(folder / TWINS))


def agreeing(reason: str, count: int) -> str:
    """Return a reason of `Dropped`, whose first word is a plural, in the singular if the count is 1."""
    first, space, rest = reason.partition(" ")
    return f"{first.removesuffix('s')}{space}{rest}" if count == 1 else reason
