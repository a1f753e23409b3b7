"""Dialogues by the hundred: cleaned, counted and laid out in columns, on all cores where that pays."""

import hashlib
import os
import pickle
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import chain, islice
from multiprocessing import parent_process
from multiprocessing.connection import wait
from threading import Thread
from typing import TypeVar

import pyarrow as pa

from metadialog.datasets.dialogue import MIN_TURNS, Dataset, Dialogue, Shard, Sharded
from metadialog.datasets.dialogues import lay_out
from metadialog.datasets.folding import fold

CHUNK = 512
"""Dialogues in a chunk."""

_ALONE = 4
"""Chunks that are done in this process before it is worth while to start others."""

_AHEAD = 6
"""Most inputs that wait for each of the other processes."""

_MAX_WORKERS = 8

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RawChunk:
    """Dialogues as lists of texts, which go to another process cheaply; `lengths` are their numbers of turns."""

    ids: list[str]
    topics: list[str]
    lengths: list[int]
    speakers: list[str]
    texts: list[str]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Dialogues of two turns or more, without blank turns.

    Attributes:
        dialogues: in columns, as in `dialogues.SCHEMA`.
        keys: what duplicates share, of each dialogue.
        topics: the topics of all dialogues that were read, those of fewer turns included.
        blank_turns: turns that were left out.
        short: dialogues of fewer turns, which were left out.
    """

    dialogues: pa.RecordBatch
    keys: list[bytes]
    topics: list[str]
    blank_turns: int
    short: int


def read_chunks(source: Dataset) -> Iterator[Chunk]:
    """Read a data set, clean its dialogues and lay them out, in their order.

    What goes beyond the first chunks is done on the other cores: whole shards of a data set that has them, else
    all but the reading.
    """
    shards = source.shards() if isinstance(source, Sharded) else []
    if len(shards) > 1 and _other_cores() and _can_travel(shards):
        yield from _ahead(_prepare_shard, shards, _other_cores() + 1)
        return
    raw = _gather(source.dialogues())
    yield from map(prepare, islice(raw, _ALONE if _other_cores() else None))
    following = list(islice(raw, 1))
    if following:
        ahead = _ahead(_prepare_alone, chain(following, raw), _other_cores())
        yield from ahead


def prepare_all(dialogues: Iterable[Dialogue]) -> Iterator[Chunk]:
    """Clean dialogues and lay them out, in their order and in this process."""
    return map(prepare, _gather(dialogues))


def prepare(raw: RawChunk) -> Chunk:
    """Clean the dialogues of a chunk and lay them out in columns."""
    ids, topics, keys, lengths, speakers, texts = [], [], [], [], [], []
    start = blank = 0
    for identifier, topic, length in zip(raw.ids, raw.topics, raw.lengths, strict=True):
        kept = [place for place in range(start, start + length) if raw.texts[place].strip()]
        start += length
        blank += length - len(kept)
        if len(kept) < MIN_TURNS:
            continue
        ids.append(identifier)
        topics.append(topic)
        lengths.append(len(kept))
        spoken = [raw.texts[place] for place in kept]
        texts += spoken
        speakers += [raw.speakers[place] for place in kept]
        keys.append(_digest(spoken))
    batch = lay_out(ids, topics, lengths, speakers, texts)
    return Chunk(batch, keys, sorted(set(raw.topics)), blank, len(raw.ids) - len(ids))


def _gather(dialogues: Iterable[Dialogue]) -> Iterator[RawChunk]:
    source = iter(dialogues)
    while found := list(islice(source, CHUNK)):
        yield RawChunk(
            ids=[dialogue.id for dialogue in found],
            topics=[dialogue.topic for dialogue in found],
            lengths=[len(dialogue.turns) for dialogue in found],
            speakers=[turn.speaker for dialogue in found for turn in dialogue.turns],
            texts=[turn.text for dialogue in found for turn in dialogue.turns],
        )


def _digest(texts: list[str]) -> bytes:
    """Return 128 bits that two dialogues share if their texts are the same after folding, and else do not."""
    digest = hashlib.blake2b(digest_size=16)
    for text in texts:
        folded = fold(text).encode()
        digest.update(b"%d:" % len(folded))
        digest.update(folded)
    return digest.digest()


def _prepare_alone(raw: RawChunk) -> list[Chunk]:
    return [prepare(raw)]


def _prepare_shard(shard: Shard) -> list[Chunk]:
    return [prepare(raw) for raw in _gather(shard())]


def _ahead(work: Callable[[T], list[Chunk]], inputs: Iterable[T], workers: int) -> Iterator[Chunk]:
    """Work through inputs in other processes, a few ahead of what has been asked for.

    Where a process dies, or none can be started, the work is done here.
    """
    workers = min(workers, _MAX_WORKERS)
    with ProcessPoolExecutor(workers, initializer=_end_with_parent) as pool:
        waiting: deque[tuple[T, Future[list[Chunk]] | None]] = deque()
        try:
            for given in inputs:
                waiting.append((given, _submit(pool, work, given)))
                if len(waiting) >= _AHEAD * workers:
                    yield from _result(work, *waiting.popleft())
            while waiting:
                yield from _result(work, *waiting.popleft())
        finally:
            pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Let this process end when the one that started it is gone, even if that was killed and could not say so."""
    parent = parent_process()
    if parent is not None:
        Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _submit(pool: ProcessPoolExecutor, work: Callable[[T], list[Chunk]], given: T) -> Future[list[Chunk]] | None:
    try:
        with warnings.catch_warnings():
            # Python warns of forking a process with threads; what is done here takes none of their locks.
            warnings.simplefilter("ignore", DeprecationWarning)
            return pool.submit(work, given)
    except BrokenProcessPool:
        return None


def _result(work: Callable[[T], list[Chunk]], given: T, future: Future[list[Chunk]] | None) -> list[Chunk]:
    try:
        return future.result() if future else work(given)
    except BrokenProcessPool:
        return work(given)


def _other_cores() -> int:
    """Return how many cores this process may use beside its own."""
    return len(os.sched_getaffinity(0)) - 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) - 1


def _can_travel(shards: Sequence[Shard]) -> bool:
    """Say whether shards can go to other processes: those within an open archive cannot."""
    try:
        pickle.dumps(shards)
    except (TypeError, AttributeError, pickle.PicklingError):
        return False
    return True
