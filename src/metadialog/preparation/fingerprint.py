"""A digest of the dialogues that a run learns from and is evaluated on, by which a resumed run recognises them."""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from metadialog.preparation.topics import Topics


def data_digest(topics: Topics) -> str:
    """Return the SHA-256 of the split and of its dialogues, in hexadecimal: the same wherever their files lie."""
    whole = hashlib.sha256()
    rows = []
    parts = {"train": topics.split.train, "validation": topics.split.validation, "test": topics.split.test}
    for part, names in parts.items():
        for name in names:
            dialogues = topics.corpus.topics[name]
            _add(whole, [part, name, len(dialogues)])
            rows.append(np.asarray(dialogues.rows))
    # One digest for each column: which dialogues share a record batch says nothing of the data.
    columns = {name: hashlib.sha256() for name in ("id", "turns", "speaker", "text")}
    for batch, indices in topics.corpus.store.scan(np.sort(np.concatenate(rows))):
        chosen = batch.take(pa.array(indices))
        turns = chosen.column("turns")
        spoken = turns.flatten()
        _add(columns["id"], chosen.column("id").to_pylist())
        _add(columns["turns"], np.diff(np.from_dlpack(turns.offsets)).tolist())
        _add(columns["speaker"], spoken.field("speaker").to_pylist())
        _add(columns["text"], spoken.field("text").to_pylist())
    _add(whole, [column.hexdigest() for column in columns.values()])
    return whole.hexdigest()


def _add(digest: Any, values: Iterable[object]) -> None:  # noqa: ANN401 - of hashlib
    """Add some values, each with its length before it, so that no two sequences are the same bytes."""
    for value in values:
        encoded = str(value).encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(encoded) + encoded)
