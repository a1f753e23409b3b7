"""One thing measured beside another, in turns, as a row of a table for each question."""

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
    """How is measured.

    Attributes:
        device: where.
        clock: seconds of the wall clock, or of the processor.
        rounds: times that each thing is done, after one that does not count.
        seconds: no new round is begun after this time, from the first on.
        inner_steps: of meta-steps.
    """

    device: torch.device
    clock: Clock
    rounds: int
    seconds: float
    inner_steps: Sequence[int]


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was measured: an object of `bench.json`.

    Attributes:
        question: which table it belongs to.
        what: what was measured.
        who: the engine, or whatever did it.
        ms: the median of the rounds, milliseconds.
        beside: what it is compared with, done in turns with it.
        times: how many times as fast it is as that, the median over rounds; as quartiles `times_q1` and `times_q3`.
        rounds: that were measured.
        against: of a table of growth, what grows; None elsewhere.
        size: how large that is.
        mebibytes: memory by what it is of; None where it was not measured.
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
        """The row in words."""
        time = "" if self.ms is None else f" {self.ms:.4g} ms"
        compared = f", {_spread(self)} times as fast as {self.beside}" if self.beside else ""
        memory = ", ".join(f"{name} {value:.3g} MiB" for name, value in (self.mebibytes or {}).items())
        return f"{self.question}: {self.what}: {self.who}{time}{compared}{f': {memory}' if memory else ''}"


def in_turns(setting: Setting, actions: Mapping[str, Action]) -> dict[str, list[float]]:
    """Return the seconds that each of some actions takes in each round, after a round that does not count."""
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
    """Measure the first of some actions, and the others beside it.

    Args:
        setting: how.
        question: which table the rows belong to.
        what: what is measured.
        actions: by who does it.
        scale: what the seconds of an action are divided by, such as its operations; None for 1.
        against: of a table of growth, what grows, and how large it is.
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
