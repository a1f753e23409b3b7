"""What `conf/bench/*.yaml` names: something that measures, line by line, and sums up what it has found."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from metadialog.runs.atomic import write_atomically

RESULTS = "bench.json"
TABLE = "table.md"


class Measured(Protocol):
    """One thing that was measured: a dataclass."""

    @property
    def line(self) -> str:
        """What was measured, in words."""
        ...


class BaseBenchmark(ABC):
    """Measures; built with the device to compute on."""

    @abstractmethod
    def missing(self) -> Sequence[str]:
        """Name what is left out, as its library is not installed."""

    @abstractmethod
    def results(self) -> Iterator[Measured]:
        """Measure, one thing after the other."""

    @abstractmethod
    def summarise(self, directory: Path) -> str:
        """Make a table and whatever else of the `bench.json` of a directory, write it there, and return the table."""


def write(results: Sequence[Measured], path: Path) -> None:
    """Write `bench.json`, a list of objects: the whole of it, or what was there stays."""
    write_atomically(path, json.dumps([asdict(result) for result in results], indent=1) + "\n")  # type: ignore[call-overload]
