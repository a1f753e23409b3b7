"""Test specifications of DSTC8's fast adaptation task: the turns to predict, with their support dialogues.

A test specification holds one JSON object a line, a submission one for each of them
(https://github.com/microsoft/dstc8-meta-dialog):

    {"support_dlgs": ["ID", ...], "target_dlg": "ID", "predict_turn": 5}
    {"dlg_id": "ID", "predict_turn": 5, "response": "..."}
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from metadialog.datasets.base import BaseDataset
from metadialog.datasets.dialogue import Dataset, Dialogue, Requested, Turn
from metadialog.datasets.records import Records
from metadialog.errors import DataError


@dataclass(frozen=True, slots=True)
class _Line:
    support_dlgs: list[str]
    target_dlg: str
    predict_turn: int


@dataclass(frozen=True, slots=True)
class Request:
    """One line of a test specification, with its dialogues.

    Attributes:
        support: the dialogues to adapt to.
        target: the dialogue up to the turn before the one to predict, and an empty turn of its speaker.
        dialogue_id: the target's.
        turn: index of the turn to predict, from 0.
    """

    support: tuple[Dialogue, ...]
    target: Dialogue
    dialogue_id: str
    turn: int


def requested_dialogues(source: Dataset) -> Iterator[Dialogue]:
    """Read all dialogues of a data set that a specification may name, with replies marked."""
    dialogues = source.requested() if isinstance(source, Requested) else source.dialogues()
    return map(source.cleaning.mark, dialogues) if isinstance(source, BaseDataset) else dialogues


def read_specification(path: Path, dialogues: Iterable[Dialogue]) -> list[Request]:
    """Read a test specification and find its dialogues.

    Args:
        path: path of the specification.
        dialogues: dialogues of its data set, which are read once; only those that are named are kept.

    Raises:
        DataError: the file is malformed, or names a dialogue or a turn that is not there; the message names the
            line.
    """
    lines = list(Records(_Line).read_lines(path))
    if not lines:
        raise DataError(f"{path}:1: holds nothing to predict; it should hold one JSON object a line")
    named = {name for _, line in lines for name in (line.target_dlg, *line.support_dlgs)}
    results = {dialogue.id: dialogue for dialogue in dialogues if dialogue.id in named}
    return [_request(line, results, f"{path}:{number}") for number, line in lines]


def write_predictions(path: Path, requests: Sequence[Request], responses: Sequence[str]) -> None:
    """Write a submission: a line for each request, in the same order."""
    with path.open("w", encoding="utf-8") as file:
        for request, response in zip(requests, responses, strict=True):
            line = {"dlg_id": request.dialogue_id, "predict_turn": request.turn, "response": response}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _request(line: _Line, by_id: dict[str, Dialogue], where: str) -> Request:
    missing = [name for name in (line.target_dlg, *line.support_dlgs) if name not in by_id]
    if missing:
        raise DataError(f"{where}: dialogue {missing[0]!r} is not in the data set; it should be one of its ids")
    if line.target_dlg in line.support_dlgs:
        raise DataError(f"{where}: target_dlg {line.target_dlg!r} is in support_dlgs as well; it should not be")
    target = by_id[line.target_dlg]
    index = line.predict_turn
    if not 1 <= index <= len(target.turns):
        raise DataError(f"{where}: predict_turn is {index}; it should be from 1 to {len(target.turns)}, counted from 0")
    shown = target.turns[:index]
    asked = Dialogue(target.topic, (*shown, Turn(_speaker(target, index), "")), target.id)
    return Request(tuple(by_id[name] for name in line.support_dlgs), asked, target.id, index)


def _speaker(dialogue: Dialogue, index: int) -> str:
    """Return the speaker of a turn, which may be missing in a truncated dialogue."""
    if index < len(dialogue.turns):
        return dialogue.turns[index].speaker
    return dialogue.turns[index - 2].speaker if index >= 2 else "user"
