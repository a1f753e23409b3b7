"""Cleaning of dialogues in chunks, in parallel if there are many."""

import hashlib
import os
import pickle
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from multiprocessing import parent_process
from multiprocessing.connection import wait
from threading import Thread
from typing import TypeVar
from unicodedata import normalize

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from metadialog.datasets.base import BaseDataset
from metadialog.datasets.cleaning import Cleaning
from metadialog.datasets.dialogue import MIN_TURNS, Dataset, Dialogue, LeftOut, Reporting, Shard, Sharded
from metadialog.datasets.dialogues import lay_out
from metadialog.text import fold
from metadialog.threads import cores

CHUNK = 512
"""Number of dialogues in a chunk."""

_ALONE = 4
"""Number of chunks that are processed here before other processes are started."""

_AHEAD = 6
"""Maximum number of inputs that wait for each of the other processes."""

_MAX_WORKERS = 8

SHOWN = 3
"""Maximum number of ids of removed dialogues in a message."""

Item = Dialogue | LeftOut
Keys = npt.NDArray[np.uint64]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Clean dialogues.

    Attributes:
        dialogues: the dialogues in columns, as in `dialogues.SCHEMA`.
        keys: key of each dialogue, equal for duplicates.
        starts: 64 bits of the keys of the first 2, 3, ... turns of each dialogue, except all of them, int, `[turns - 2
            * dialogues]`, by which dialogues that begin others are recognised.
        topics: topics of all dialogues that were read, including removed ones.
        counts: number of removed dialogues by reason.
        left_out: number of dialogues that the options of the data set leave out, by reason.
        one_sided: ids of some dialogues with only one speaker.
    """

    dialogues: pa.RecordBatch
    keys: list[bytes]
    starts: Keys
    topics: list[str]
    counts: Counter[str]
    left_out: Counter[str]
    one_sided: list[str]


def read_chunks(source: Dataset) -> Iterator[Chunk]:
    """Read a data set and clean its dialogues, in their order.

    After the first chunks, the work is done by other processes: whole shards of a data set that has them, otherwise
    everything except reading.
    """
    cleaning = cleaning_of(source)
    others = cores() - 1
    shards = source.shards() if isinstance(source, Sharded) else []
    if len(shards) > 1 and others and _can_travel(shards):
        yield from _ahead(partial(_prepare_shard, cleaning), shards, others + 1)
        return
    raw = _gather(source.read() if isinstance(source, Reporting) else source.dialogues())
    yield from (prepare(items, cleaning) for items in islice(raw, _ALONE if others else None))
    following = list(islice(raw, 1))
    if following:
        yield from _ahead(partial(_prepare_alone, cleaning), chain(following, raw), others)


def cleaning_of(source: Dataset) -> Cleaning:
    """Return the cleaning of a data set, which is the default if it has no options for it."""
    return source.cleaning if isinstance(source, BaseDataset) else Cleaning()


def prepare_all(dialogues: Iterable[Item], cleaning: Cleaning) -> Iterator[Chunk]:
    """Clean dialogues in their order, in this process."""
    return (prepare(items, cleaning) for items in _gather(dialogues))


def prepare(items: Sequence[Item], cleaning: Cleaning) -> Chunk:
    """Clean dialogues, and convert them to columns."""
    counts: Counter[str] = Counter()
    left_out: Counter[str] = Counter(item.reason for item in items if isinstance(item, LeftOut))
    kept: list[Dialogue] = []
    one_sided: list[str] = []
    topics: set[str] = set()
    for item in items:
        if isinstance(item, LeftOut):
            continue
        one_sided_before = counts["one_speaker"]
        dialogue = cleaning.clean(_composed(item), counts)
        if dialogue is not None:
            topics.add(dialogue.topic)
            kept.append(dialogue)
        elif counts["one_speaker"] > one_sided_before and len(one_sided) < SHOWN:
            one_sided.append(item.id)
        if dialogue is None and not cleaning.anonymise:  # otherwise a name that is not replaced would be shown
            topics.add(normalize("NFC", item.topic))
    keys: list[bytes] = []
    starts: list[int] = []
    for dialogue in kept:
        *some, key = _digests([turn.text for turn in dialogue.turns])
        keys.append(key)
        starts += [int.from_bytes(start[:8], "little") for start in some]
    return Chunk(lay_out(kept), keys, np.array(starts, np.uint64), sorted(topics), counts, left_out, one_sided)


def _composed(dialogue: Dialogue) -> Dialogue:
    """Return a dialogue with its topic in Unicode's composed form, so that equal topics are one."""
    topic = normalize("NFC", dialogue.topic)
    return dialogue if topic == dialogue.topic else replace(dialogue, topic=topic)


def _gather(items: Iterable[Item]) -> Iterator[list[Item]]:
    source = iter(items)
    while result := list(islice(source, CHUNK)):
        yield result


def _digests(texts: Sequence[str]) -> Iterator[bytes]:
    """Yield a digest of 128 bits of the first 2, 3, ... texts, equal only for texts that are equal after folding."""
    digest = hashlib.blake2b(digest_size=16)
    for number, text in enumerate(texts, start=1):
        folded = fold(text).encode()
        digest.update(b"%d:" % len(folded))
        digest.update(folded)
        if number >= MIN_TURNS:
            yield digest.digest()


def _prepare_alone(cleaning: Cleaning, items: list[Item]) -> list[Chunk]:
    return [prepare(items, cleaning)]


def _prepare_shard(cleaning: Cleaning, shard: Shard) -> list[Chunk]:
    return [prepare(items, cleaning) for items in _gather(shard())]


def _ahead(work: Callable[[T], list[Chunk]], inputs: Iterable[T], workers: int) -> Iterator[Chunk]:
    """Process inputs in other processes, a few in advance.

    If a process dies or cannot be started, the work is done here.
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
    """End this process when its parent process ends, even if that is killed."""
    parent = parent_process()
    if parent is not None:
        Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _submit(pool: ProcessPoolExecutor, work: Callable[[T], list[Chunk]], given: T) -> Future[list[Chunk]] | None:
    try:
        with warnings.catch_warnings():
            # Python warns about forking a process with threads, but the work here uses none of their locks.
            warnings.simplefilter("ignore", DeprecationWarning)
            return pool.submit(work, given)
    except BrokenProcessPool:
        return None


def _result(work: Callable[[T], list[Chunk]], given: T, future: Future[list[Chunk]] | None) -> list[Chunk]:
    try:
        return future.result() if future else work(given)
    except BrokenProcessPool:
        return work(given)


def _can_travel(shards: Sequence[Shard]) -> bool:
    """Tell whether shards can be sent to other processes, unlike those within an open archive."""
    try:
        pickle.dumps(shards)
    except (TypeError, AttributeError, pickle.PicklingError):
        return False
    return True
