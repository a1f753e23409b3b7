"""Rows of results: an action, measured alternately with the one that it is compared with."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

Clock = Literal["wall", "cpu"]
CLOCKS: Mapping[Clock, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
Action = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Setting:
    """Settings of the measurement.

    Attributes:
        device: device to compute on.
        clock: wall-clock or processor time, seconds.
        rounds: number of repetitions after a warm-up.
        seconds: time after which no new round is started, except the first.
        inner_steps: numbers of inner steps.
    """

    device: torch.device
    clock: Clock
    rounds: int
    seconds: float
    inner_steps: Sequence[int]


@dataclass(frozen=True, slots=True)
class Row:
    """A measurement, an object of `bench.json`.

    Attributes:
        question: title of the table that it belongs to.
        what: measured action.
        who: name of the engine or other implementation.
        ms: median time over rounds, milliseconds.
        beside: the implementation that it is compared with.
        times: speed relative to that, median over rounds; `times_q1` and `times_q3` are the quartiles.
        rounds: number of measured rounds.
        against: in a table of growth, the varied size; None otherwise.
        size: value of that size.
        mebibytes: memory by kind of tensor; None if it was not measured.
    """

    question: str
    what: str
    who: str
    ms: float | None = None
    beside: str | None = None
    times: float | None = None
    times_q1: float | None = None
    times_q3: float | None = None
    rounds: int = 0
    against: str | None = None
    size: int | None = None
    mebibytes: dict[str, float] | None = None

    @property
    def line(self) -> str:
        """A description of the row."""
        time = "" if self.ms is None else f" {self.ms:.4g} ms"
        compared = f", {_spread(self)} times as fast as {self.beside}" if self.beside else ""
        memory = ", ".join(f"{name} {value:.3g} MiB" for name, value in (self.mebibytes or {}).items())
        return f"{self.question}: {self.what}: {self.who}{time}{compared}{f': {memory}' if memory else ''}"


def in_turns(setting: Setting, actions: Mapping[str, Action]) -> dict[str, list[float]]:
    """Return the times of each action in each round in seconds, after a warm-up round."""
    clock, seconds = CLOCKS[setting.clock], {name: list[float]() for name in actions}
    began = time.perf_counter()
    for number in range(setting.rounds + 1):
        if number > 1 and time.perf_counter() - began > setting.seconds:
            break
        for name, action in actions.items():
            _finish(setting.device)
            start = clock()
            action()
            _finish(setting.device)
            if number:
                seconds[name].append(clock() - start)
    return seconds


def compared(
    setting: Setting,
    question: str,
    what: str,
    actions: Mapping[str, Action],
    scale: Mapping[str, float] | None = None,
    against: tuple[str, int] | None = None,
) -> Iterator[Row]:
    """Measure the first of several actions, and the others relative to it.

    Args:
        setting: settings of the measurement.
        question: title of the table that the rows belong to.
        what: measured action.
        actions: actions by the name of their implementation.
        scale: divisor of the times of each action, such as its operations; None for 1.
        against: in a table of growth, the varied size and its value.
    """
    seconds = in_turns(setting, actions)
    by = {who: [second / (scale or {}).get(who, 1.0) for second in taken] for who, taken in seconds.items()}
    (first, base), *_ = by.items()
    grown = {} if against is None else {"against": against[0], "size": against[1]}
    for who, taken in by.items():
        ratios = [other / own for other, own in zip(base, taken, strict=True)]
        quartiles = statistics.quantiles(ratios, method="inclusive") if len(ratios) > 1 else ratios * 3
        own = {} if who == first else dict(zip(("times_q1", "times", "times_q3"), quartiles, strict=True))
        ms = 1000 * statistics.median(seconds[who])
        beside = None if who == first else first
        yield Row(question, what, who, ms, beside, rounds=len(taken), **own, **grown)  # type: ignore[arg-type]


def tables(rows: Sequence[Row]) -> str:
    """Return a Markdown table for each question."""
    parts = []
    for question in dict.fromkeys(row.question for row in rows):
        own = [row for row in rows if row.question == question]
        parts.append(f"## {question}\n\n{_memory(own) if own[0].mebibytes else _times(own)}")
    return "\n".join(parts)


def _times(rows: Sequence[Row]) -> str:
    lines = ["| what | who | ms | times as fast (quartiles) | as |", "|---|---|---:|---:|---|"]
    lines += [f"| {row.what} | {row.who} | {row.ms:.4g} | {_spread(row)} | {row.beside or ''} |" for row in rows]
    return "\n".join(lines) + "\n"


def _memory(rows: Sequence[Row]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row.mebibytes or {}))
    lines = [f"| what | who | {' | '.join(names)} |", f"|---|---|{'---:|' * len(names)}"]
    for row in rows:
        cells = (f"{(row.mebibytes or {}).get(name, 0):.1f}" for name in names)
        lines.append(f"| {row.what} | {row.who} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _spread(row: Row) -> str:
    if row.times is None:
        return ""
    if row.rounds == 1:
        return f"{row.times:.2f}"
    return f"{row.times:.2f} ({row.times_q1:.2f}-{row.times_q3:.2f})"


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
