"""Read a data set and split its topics.

A corpus is prepared once and then taken from the cache. Its key is a digest of everything that it depends on: the
content of the files, the options and the code. Entries are therefore never stale.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from metadialog import text
from metadialog.cache.entries import cache_directory, entry, temporary
from metadialog.cache.keys import digest_code, digest_files, key
from metadialog.config import build
from metadialog.datasets.corpus import Corpus, agreeing, open_store, write_store
from metadialog.datasets.dialogue import Dataset, FromFiles
from metadialog.datasets.dialogues import Dialogues
from metadialog.downloads.copies import downloaded
from metadialog.errors import DataError
from metadialog.preparation.separation import separate_twins
from metadialog.splits.split import Split, TopicSplit
from metadialog.text import counted

PREPARED = "prepared"

_ATTEMPTS = 3

NAMED = 10
"""Maximum number of dropped topics named in a message."""


@dataclass(frozen=True, slots=True)
class Topics:
    """The dialogues of a data set and the split of its topics.

    Attributes:
        corpus: all dialogues.
        split: the topics of each part.
        language: ISO 639 code of the texts.
        cache: cache folder; None to cache nothing.
        key: key of the corpus in the cache; None if it is not cached.
    """

    corpus: Corpus
    split: TopicSplit
    language: str
    cache: Path | None = None
    key: str | None = None

    def of(self, names: Iterable[str]) -> dict[str, Dialogues]:
        """Return the dialogues of some topics."""
        return {name: self.corpus.topics[name] for name in names}

    def summary(self) -> str:
        """Describe the topics in one line."""
        parts = f"{len(self.split.train)} meta-train, {len(self.split.validation)} meta-validation"
        kept = sum(len(dialogues) for dialogues in self.corpus.topics.values())
        line = f"{self.corpus.name}: {counted(kept, 'dialogue')}; topics: {parts}, {len(self.split.test)} meta-test"
        if self.split.dropped:
            named = [f"{topic} ({count})" for topic, count in self.split.dropped.items()]
            further = f" and {len(named) - NAMED:,} others" if len(named) > NAMED else ""
            line += f"; dropped for too few dialogues: {', '.join(named[:NAMED])}{further}"
        left_out = [f"{count} {agreeing(reason, count)}" for reason, count in self.corpus.dropped.left_out.items()]
        if self.corpus.dropped.one_speaker:
            left_out.append(f"{counted(self.corpus.dropped.one_speaker, 'dialogue')} with only one speaker")
        if self.corpus.dropped.twins:
            left_out.append(
                f"{counted(self.corpus.dropped.twins, 'dialogue')} {self.corpus.dropped.twin} in another part"
            )
        if left_out:
            line += f"; left out: {', '.join(left_out)}"
        return line


def prepare_topics(dataset: Mapping[str, Any], split: Mapping[str, Any], cache: str | None = None) -> Topics:
    """Read a data set and split its topics.

    Args:
        dataset: config node of the data set; `root: null` means the downloaded copy.
        split: config node of the split.
        cache: cache folder; None for the default.

    Raises:
        DataError: the data set has not been downloaded, or cannot be read.
    """
    folder = cache_directory(cache)
    node = located(dataset, folder)
    source: Dataset = build(node)
    splitter: Split = build(split)
    corpus, key = prepared_corpus(node, source, folder)
    split_topics = splitter.split(corpus.sizes, source.paper_split)
    corpus, split_topics = separate_twins(corpus, split_topics, splitter.min_dialogues)
    return Topics(corpus, split_topics, source.language, cache=folder, key=key)


def located(dataset: Mapping[str, Any], cache: Path) -> Mapping[str, Any]:
    """Return the config node of a data set, with the downloaded copy as root if none is set.

    Raises:
        DataError: it has not been downloaded.
    """
    if dataset.get("root", "") is not None:
        return dataset
    source = getattr(build(dataset), "source", None)
    return dataset if source is None else {**dataset, "root": str(downloaded(source, cache))}


class _ChangedError(Exception):
    """The files changed while they were read."""


def prepared_corpus(node: Mapping[str, Any], source: Dataset, cache: Path) -> tuple[Corpus, str | None]:
    """Return the memory-mapped corpus of a data set, and its key in the cache.

    If the files of the data set are not known, the key is None and the corpus is not cached.

    Args:
        node: the config node of the data set.
        source: the data set.
        cache: the cache folder.

    Raises:
        DataError: the data set cannot be read, or keeps changing; nothing of it is cached.
    """
    for _ in range(_ATTEMPTS):
        digest = _corpus_key(node, source)
        if digest is None:
            return open_store(temporary(partial(write_store, source))), None

        def write(folder: Path, expected: str = digest) -> None:
            write_store(source, folder)
            if _corpus_key(node, source) != expected:
                raise _ChangedError

        try:
            return open_store(entry(cache / PREPARED / f"dialogues-{digest}", write)), digest
        except _ChangedError:
            continue
    raise DataError(
        f"dataset {source.name}: its files change while they are read; they should not be modified meanwhile"
    )


def _corpus_key(node: Mapping[str, Any], source: Dataset) -> str | None:
    if isinstance(source, FromFiles):
        paths = list(source.files())
    else:
        paths = [Path(node[option]).expanduser() for option in ("root", "path") if isinstance(node.get(option), str)]
    # Data that are not in files, such as a data set of a hub, may change unnoticed, so they are read each time.
    if not any(path.exists() for path in paths):
        return None
    code = digest_code([package(node), "metadialog.datasets", text])
    return key(node=dict(node), name=source.name, files=digest_files(paths), code=code)


def package(node: Mapping[str, Any]) -> str:
    """Return the name of the module that a config node's class is in."""
    return str(node["_target_"]).rpartition(".")[0]


def data_digest(topics: Topics) -> str:
    """Return the SHA-256 of the split and its dialogues, in hexadecimal; it does not depend on file locations."""
    whole = hashlib.sha256()
    rows = []
    parts = {"train": topics.split.train, "validation": topics.split.validation, "test": topics.split.test}
    for part, names in parts.items():
        for name in names:
            dialogues = topics.corpus.topics[name]
            _add(whole, [part, name, len(dialogues)])
            rows.append(np.asarray(dialogues.rows))
    # One digest for each column, so that the division into record batches makes no difference.
    columns = {name: hashlib.sha256() for name in ("id", "turns", "speaker", "text")}
    for batch, indices in topics.corpus.store.scan(np.sort(np.concatenate(rows))):
        # `pa.array` would import pandas.
        numbers = pa.Array.from_buffers(pa.int64(), len(indices), [None, pa.py_buffer(indices.astype(np.int64))])
        chosen = batch.take(numbers)
        turns = chosen.column("turns")
        spoken = turns.flatten()
        _add(columns["id"], chosen.column("id").to_pylist())
        _add(columns["turns"], np.diff(np.from_dlpack(turns.offsets)).tolist())
        _add(columns["speaker"], spoken.field("speaker").to_pylist())
        _add(columns["text"], spoken.field("text").to_pylist())
    _add(whole, [column.hexdigest() for column in columns.values()])
    return whole.hexdigest()


def _add(digest: Any, values: Iterable[object]) -> None:  # noqa: ANN401 - of hashlib
    """Add values, each preceded by its length, so that different sequences never give the same bytes."""
    for value in values:
        encoded = str(value).encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(encoded) + encoded)
