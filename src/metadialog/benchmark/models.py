"""Benchmark of every model: its meta-step, joint training, evaluation, and how the cost grows."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le, MinLen

from metadialog.benchmark.base import RESULTS, TABLE, BaseBenchmark
from metadialog.benchmark.model_parts import PARTS, Part
from metadialog.benchmark.rows import Clock, Row, Setting, tables
from metadialog.memory import keep_freed_memory
from metadialog.reports.meta_steps import growth_figure
from metadialog.runs.atomic import replacing, write_atomically


class Models(BaseBenchmark):
    """Measures actions alternately with those that they are compared with, in one process.

    Args:
        device: device to compute on.
        parts: what is measured: `models`, every model's meta-step beside learn2learn's; `joint` training beside a
            first-order meta-step; `evaluation`; `growth` of the cost with tasks, steps, width, vocabulary and length;
            `memory`, where it goes; `graphs`, on a GPU, steps that are recorded.
        inner_steps: numbers of inner steps.
        rounds: number of repetitions of each action.
        seconds: time after which no new round of a comparison is started, except the first.
        clock: `wall`, or `cpu` if other programs use the cores too; on a GPU always `wall`.
        threads: number of CPU threads.
    """

    def __init__(
        self,
        device: torch.device,
        *,
        parts: Annotated[list[Part], MinLen(1)],
        inner_steps: Annotated[list[Annotated[int, Ge(1), Le(10**6)]], MinLen(1)],
        rounds: Annotated[int, Ge(1), Le(10**4)],
        seconds: Annotated[float, Gt(0), Le(1e6)],
        clock: Clock,
        threads: Annotated[int, Ge(1), Le(1024)],
    ) -> None:
        self.parts = list(dict.fromkeys(parts))
        self.threads = threads
        self.setting = Setting(device, "wall" if device.type == "cuda" else clock, rounds, seconds, inner_steps)

    def missing(self) -> list[str]:
        """Return nothing, as only torch is needed."""
        return []

    def results(self) -> Iterator[Row]:
        """Measure, one part after the other."""
        torch.set_num_threads(self.threads)
        keep_freed_memory()  # as in training
        for part in self.parts:
            yield from PARTS[part](self.setting)

    def summarise(self, directory: Path) -> str:
        """Write `table.md`, and `growth.png` if growth was measured, from `bench.json`, and return the tables."""
        rows = [Row(**row) for row in json.loads((directory / RESULTS).read_text(encoding="utf-8"))]
        made = tables(rows)
        write_atomically(directory / TABLE, made)
        grown = [row for row in rows if row.against is not None]
        if grown:
            points = [(str(row.against), int(row.size or 0), row.who, float(row.ms or 0)) for row in grown]
            with replacing(directory / "growth.png") as partial:
                growth_figure(points).savefig(partial, format="png")
        return made
