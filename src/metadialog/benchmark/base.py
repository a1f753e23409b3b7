"""The interface of the benchmarks that `conf/bench/*.yaml` names."""

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
    """A measurement, as a dataclass."""

    @property
    def line(self) -> str:
        """A description of the measurement."""
        ...


class BaseBenchmark(ABC):
    """Base class of benchmarks, constructed with the device."""

    @abstractmethod
    def missing(self) -> Sequence[str]:
        """Return the names of parts that are left out because their library is not installed."""

    @abstractmethod
    def results(self) -> Iterator[Measured]:
        """Yield the measurements."""

    @abstractmethod
    def summarise(self, directory: Path) -> str:
        """Write a table and figures from the `bench.json` of a directory, and return the table."""


def write(results: Sequence[Measured], path: Path) -> None:
    """Write `bench.json`, a list of objects, atomically."""
    write_atomically(path, json.dumps([asdict(result) for result in results], indent=1) + "\n")  # type: ignore[call-overload]
