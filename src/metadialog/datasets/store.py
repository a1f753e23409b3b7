"""A corpus on disk: written once, then read through a memory map, so that its size does not matter.

A folder with

- `dialogues.arrow`: an Arrow file (IPC format) of the clean dialogues in reading order, as `dialogues.SCHEMA`;
- `rows.npy`: the positions of the dialogues in it, topic after topic, each in reading order;
- `twins.npy`: which dialogues begin others (`Corpus.twins`);
- `corpus.json`: the name, the topics with their sizes, where record batches begin, and what cleaning took out.
"""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa

from metadialog.datasets.chunks import cleaning_of, read_chunks
from metadialog.datasets.corpus import Cleaner, Corpus, Dropped
from metadialog.datasets.dialogue import Dataset
from metadialog.datasets.dialogues import SCHEMA, Dialogues, DialogueStore

DIALOGUES = "dialogues.arrow"
ROWS = "rows.npy"
TWINS = "twins.npy"
CORPUS = "corpus.json"


def write_store(source: Dataset, folder: Path) -> None:
    """Read a data set, clean its dialogues as `build_corpus` does, and write them.

    Memory does not grow with their number, but for 20 bytes a dialogue at the end, where they are put in order;
    to look for near duplicates takes all word pairs of the dialogues.

    Args:
        source: read once.
        folder: an existing, empty folder.

    Raises:
        DataError: no dialogue is left; also whatever reading the dialogues raises.
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
    """Return the corpus that `write_store` has written."""
    corpus = json.loads((folder / CORPUS).read_text(encoding="utf-8"))
    store = DialogueStore(folder / DIALOGUES, corpus["starts"])
    rows = np.load(folder / ROWS, mmap_mode="r")  # [dialogues]
    topics = {topic: Dialogues(store, rows[start:end]) for topic, (start, end) in corpus["topics"].items()}
    dropped = corpus["dropped"] | {name: tuple(corpus["dropped"][name]) for name in ("topics", "one_sided")}
    return Corpus(corpus["name"], topics, Dropped(**dropped), np.load(folder / TWINS))
