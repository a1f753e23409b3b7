"""Detection of files of published data sets."""

import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from metadialog.datasets.formats.base import JSON_LINES, files_of, first_record, head

_MOST = 5  # files of a folder that are inspected
_TEXTS = {
    "dailydialog": ("DailyDialog", "__eou__"),
    "personachat": ("PersonaChat", "your persona:"),
    "empathetic": ("EmpatheticDialogues", "conv_id,utterance_idx,context"),
}
"""Content of the first line of a text file, by data set."""

_KEYS = {
    "crosswoz": ("CrossWOZ", {"messages", "goal", "sys-usr"}),
    "multiwoz": ("MultiWOZ", {"goal", "log"}),
    "taskmaster": ("Taskmaster", {"conversation_id", "utterances"}),
    "wizard": ("Wizard of Wikipedia", {"chosen_topic", "dialog"}),
    "metalwoz": ("MetaLWOz", {"domain", "bot_id", "turns"}),
    "kdconv": ("KdConv", {"messages", "name"}),
}
"""Keys of each dialogue, by data set."""

_ARCHIVES = {"dstc8_metalwoz_heldout.zip": ("metalwoz", "MetaLWOz"), "metalwoz-v1.zip": ("metalwoz", "MetaLWOz")}
"""Names of zip files inside a publication, by data set."""


def published_as(path: Path) -> str | None:
    """Return a message with the published data set that files belong to; None if there is none."""
    found = _of_archives(path) or _of_texts(path) or _of_json(path)
    if found is None:
        return None
    choice, title = found
    return f"{title} as it is published: dataset={choice} dataset.root=FOLDER reads its own topics"


def _of_archives(path: Path) -> tuple[str, str] | None:
    return next((_ARCHIVES[file.name] for file in files_of(path, ".zip") if file.name in _ARCHIVES), None)


def _of_texts(path: Path) -> tuple[str, str] | None:
    for file in files_of(path, ".txt", ".csv")[:_MOST]:
        first = next(iter(head(file, 1)), "")
        for choice, (title, words) in _TEXTS.items():
            if words in first:
                return choice, title
    return None


def _of_json(path: Path) -> tuple[str, str] | None:
    record: Any = _by_line(path) or first_record(files_of(path, ".json", *JSON_LINES)[:_MOST])
    if isinstance(record, Mapping) and record and all(isinstance(one, Mapping) for one in islice(record.values(), 3)):
        record = next(iter(record.values()))  # dialogues by their ids
    if not isinstance(record, Mapping):
        return None
    if {"dialogue_id", "services", "turns"} <= record.keys():  # MultiWOZ 2.2 has the layout of SGD
        is_multiwoz = str(record["dialogue_id"]).endswith(".json")
        return ("multiwoz", "MultiWOZ") if is_multiwoz else ("sgd", "Schema-Guided Dialogue")
    for choice, (title, keys) in _KEYS.items():
        if keys <= record.keys() and (choice != "kdconv" or _says_messages(record)):
            return choice, title
    return None


def _by_line(path: Path) -> object:
    """Return the first object of a text file with one a line, as MetaLWOz has it."""
    for file in files_of(path, ".txt")[:_MOST]:
        try:
            return json.loads(next(iter(head(file, 1)), ""))
        except (ValueError, RecursionError):
            continue
    return None


def _says_messages(record: Mapping[str, Any]) -> bool:
    messages = record["messages"]
    first = messages[0] if isinstance(messages, list) and messages else None
    return isinstance(first, Mapping) and "message" in first
