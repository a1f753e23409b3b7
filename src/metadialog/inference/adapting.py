"""Adaptation to a user's dialogues with held-out dialogues, and its report."""

import math
import queue
import random
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from metadialog.datasets.dialogue import MIN_TURNS, Dialogue
from metadialog.errors import ConfigError, DataError
from metadialog.inference.dialogues import Context
from metadialog.inference.model import MAX_STEPS, AdaptableModel
from metadialog.inference.results import CurvePoint
from metadialog.runs.atomic import creating_folder, write_atomically
from metadialog.text import counted

ENOUGH = 3
"""Number of dialogues from which on some are held out."""

MOST_HELD_OUT = 25

SHOWN = 10
"""Number of replies in a report."""

REPORT = "report.md"

HeldOut = Literal["auto"] | int

_BAR = 32  # characters


@dataclass(frozen=True, slots=True)
class Division:
    """Dialogues divided for adaptation.

    Attributes:
        support: dialogues to adapt to.
        held_out: dialogues to score on.
        passed_over: number of dialogues without an exchange, which are in neither.
    """

    support: Sequence[Dialogue]
    held_out: Sequence[Dialogue]
    passed_over: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """A reply before and after adaptation, with the reference.

    Attributes:
        context: the turns before, one per line, each with its speaker.
        reference: reference response.
        before: reply of the original model.
        after: reply of the adapted model.
    """

    context: str
    reference: str
    before: str
    after: str


def divide(dialogues: Sequence[Dialogue], held_out: HeldOut, seed: int, name: str = "dialogues") -> Division:
    """Divide dialogues into those to adapt to and held-out ones.

    Args:
        dialogues: all dialogues.
        held_out: number to hold out; `auto` for a quarter, at least one, if there are `ENOUGH`, otherwise none.
        seed: seed of the draw.
        name: name of the dialogues in messages, such as their file.

    Raises:
        DataError: no dialogue has an exchange.
        ConfigError: no dialogue is left to adapt to.
    """
    usable = [dialogue for dialogue in dialogues if len(dialogue.turns) >= MIN_TURNS]
    if not usable:
        raise DataError(
            f"{name}: no dialogue to adapt to: each should have {MIN_TURNS} turns or more, a turn and its answer"
        )
    if held_out == "auto":
        count = max(1, min(MOST_HELD_OUT, round(len(usable) / 4))) if len(usable) >= ENOUGH else 0
    else:
        count = held_out
        if count >= len(usable):
            raise ConfigError(
                f"held_out={count}: should be below the number of dialogues, {len(usable)}: one at least is "
                f"to be adapted to"
            )
    drawn = set(random.Random(seed).sample(range(len(usable)), count))  # noqa: S311 - an experiment, no secret
    return Division(
        [dialogue for index, dialogue in enumerate(usable) if index not in drawn],
        [dialogue for index, dialogue in enumerate(usable) if index in drawn],
        len(dialogues) - len(usable),
    )


class AdaptingAside:
    """An adaptation in a separate thread, whose curve can be iterated over meanwhile.

    Args:
        model: the model to adapt.
        division: dialogues to adapt to, and to score on.
    """

    def __init__(self, model: AdaptableModel, division: Division) -> None:
        self._points: queue.Queue[CurvePoint | None] = queue.Queue()
        self._given_up = threading.Event()
        self._outcome: AdaptableModel | BaseException = RuntimeError("the adaptation has not finished")
        self._thread = threading.Thread(target=self._work, args=(model, division), daemon=True)

    def __iter__(self) -> Iterator[CurvePoint]:
        """Adapt, and yield each point as soon as it is known; closing the iterator stops the adaptation."""
        self._thread.start()
        try:
            while (point := self._points.get()) is not None:
                yield point
        finally:
            self._given_up.set()
            self._thread.join()

    def adapted(self) -> AdaptableModel:
        """Return the adapted model, or raise the error of `AdaptableModel.adapt`."""
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome

    def _work(self, model: AdaptableModel, division: Division) -> None:
        try:
            self._outcome = model.adapt(division.support, held_out=division.held_out or None, on_step=self._tell)
        except BaseException as error:  # noqa: BLE001 - it is raised again, in the other thread
            self._outcome = error
        finally:
            self._points.put(None)

    def _tell(self, point: CurvePoint) -> None:
        if self._given_up.is_set():
            raise InterruptedError
        self._points.put(point)


def compare(model: AdaptableModel, dialogues: Sequence[Dialogue], count: int = SHOWN) -> list[Comparison]:
    """Return replies before and after adaptation to evenly spaced exchanges.

    Args:
        model: an adapted model.
        dialogues: dialogues with the contexts and references.
        count: number of replies.
    """
    exchanges = [
        (dialogue.turns[:position], dialogue.turns[position])
        for dialogue in dialogues
        for position in range(1, len(dialogue.turns))
    ]
    chosen = [exchanges[position] for position in evenly(len(exchanges), count)]
    contexts: list[Context] = [turns for turns, _ in chosen]
    before = (model.parent or model).replies(contexts)
    after = model.replies(contexts)
    return [
        Comparison("\n".join(f"{turn.speaker}: {turn.text}" for turn in turns[-3:]), answer.text, old[0], new[0])
        for (turns, answer), old, new in zip(chosen, before, after, strict=True)
    ]


def evenly(total: int, count: int) -> list[int]:
    """Return up to `count` evenly spaced positions below `total`, starting with 0."""
    count = min(total, count)
    return [index * total // count for index in range(count)]


def curve_line(point: CurvePoint, first: CurvePoint, *, chosen: bool = False) -> str:
    """Format a point of the curve as a line with a bar for the loss.

    Args:
        point: the point.
        first: the point before adaptation, which determines the scale.
        chosen: whether the model of this point was chosen.
    """
    share = point.loss / first.loss if first.loss > 0 else 0.0
    length = round(_BAR * min(2.0, max(0.0, share))) if math.isfinite(share) else 2 * _BAR
    held = "" if point.held_out_loss is None else f"  held out {point.held_out_loss:6.3f}"
    mark = "  chosen" if chosen else ""
    return f"step {point.step:3d}  adapted to {point.support_loss:6.3f}{held}  {'█' * length}{mark}"


def advice(model: AdaptableModel) -> str | None:
    """Return what may do better than an adaptation did; None if it came to a good end.

    Args:
        model: the adapted model.
    """
    losses = [point.loss for point in model.curve]
    if losses[model.step] > losses[0]:
        rate = f"{model.rate / 3:.2g}"
        return f"the loss is higher than before: a smaller rate, such as rate={rate}, or fewer steps may do better"
    if model.step == len(losses) - 1 >= MAX_STEPS:
        rate = f"{3 * model.rate:.2g}"
        return f"the loss still falls after {model.step} steps: a larger rate, such as rate={rate}, may do better"
    return None


def save_with_report(
    model: AdaptableModel, folder: Path, division: Division, name: str, steps: int | None = None
) -> None:
    """Write an adapted model and its report, with replies before and after, to a folder that does not exist yet.

    Args:
        model: the adapted model.
        folder: folder to create; if anything fails, it is not.
        division: dialogues that it was adapted to and scored on.
        name: name of the file of dialogues.
        steps: requested number of steps; None if it was chosen.

    Raises:
        RunError, OSError: the folder cannot be written.
    """
    with creating_folder(folder) as partial:
        model.save(partial, name=folder.name)
        replies = compare(model, division.held_out or division.support)
        write_atomically(partial / REPORT, report(model, division, name, replies, steps))


def report(
    model: AdaptableModel, division: Division, name: str, replies: Sequence[Comparison], steps: int | None = None
) -> str:
    """Return the report of an adaptation as Markdown.

    Args:
        model: the adapted model.
        division: dialogues that it was adapted to and scored on.
        name: name of the file of dialogues.
        replies: replies before and after.
        steps: requested number of steps; None if it was chosen.
    """
    first, last = model.curve[0], model.curve[model.step]
    scored = counted(len(division.held_out), "held-out dialogue") if division.held_out else "the dialogues adapted to"
    lines = [
        f"# Adapted to {name}",
        "",
        *_dialogues_used(division),
        f"- inner steps: {model.step}{_how_chosen(model, division, steps)}",
        f"- loss on {scored}, nats a token: {first.loss:.3f} before, {last.loss:.3f} after",
        "",
        "| step | loss, adapted to | loss, held out |",
        "|---:|---:|---:|",
        *(f"| {p.step} | {p.support_loss:.3f} | {_or_nothing(p.held_out_loss)} |" for p in model.curve),
        "",
        f"## Replies on {scored}, at equal distances",
        "",
        "| context | said | before | after |",
        "|---|---|---|---|",
        *(f"| {_cell(r.context)} | {_cell(r.reference)} | {_cell(r.before)} | {_cell(r.after)} |" for r in replies),
    ]
    return "\n".join(lines) + "\n"


def _dialogues_used(division: Division) -> Iterator[str]:
    turns = sum(len(dialogue.turns) for dialogue in division.support)
    yield f"- adapted to: {counted(len(division.support), 'dialogue')}, {counted(turns, 'turn')}"
    few = "" if division.held_out else " (too few to spare one)"
    yield f"- held out: {counted(len(division.held_out), 'dialogue')}{few}"
    if division.passed_over:
        yield f"- passed over: {counted(division.passed_over, 'dialogue')} of fewer than {MIN_TURNS} turns"


def _how_chosen(model: AdaptableModel, division: Division, steps: int | None) -> str:
    """Return how the number of inner steps was chosen."""
    if steps is not None:
        return ", as asked for"
    if division.held_out:
        return f" of {len(model.curve) - 1} that were tried, chosen on the held-out dialogues"
    return ", as chosen on other topics, or the algorithm's own"


def _or_nothing(loss: float | None) -> str:
    return "" if loss is None else f"{loss:.3f}"


def _cell(text: str) -> str:
    r"""Return a text as a table cell, on one line and with Markdown and HTML escaped."""
    escaped = "".join(f"\\{character}" if character in "\\|`*_[]<>#" else character for character in text.strip())
    return "<br>".join(" ".join(line.split()) for line in escaped.splitlines())
