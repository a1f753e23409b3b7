"""`metadialog bench`: measure the cost of the meta-gradient."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from metadialog.benchmark.base import RESULTS, BaseBenchmark, Measured, write
from metadialog.cli.composed_job import Job
from metadialog.config import build
from metadialog.console import make_console
from metadialog.experiment.config import Device, Node
from metadialog.experiment.hardware import find_device


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """The options of the command.

    Attributes:
        bench: the benchmark.
        device: to compute on.
        output: directory to write to.
    """

    command: ClassVar[str] = "bench"

    bench: Node
    device: Device
    output: str


def main(job: Job) -> None:
    """Run a benchmark, print each result and the final table, and write them."""
    config: BenchConfig = build(job.config)
    directory, console = Path(config.output).expanduser(), make_console(soft_wrap=True)
    benchmark: BaseBenchmark = build(config.bench, find_device(config.device))
    directory.mkdir(parents=True, exist_ok=True)
    for name in benchmark.missing():
        console.print(f"{name} is not installed and is left out: uv sync --group bench", markup=False)
    results: list[Measured] = []
    for result in benchmark.results():
        results.append(result)
        write(results, directory / RESULTS)
        console.print(result.line, markup=False)
    console.print(f"\n{benchmark.summarise(directory)}\nwritten to {directory}", markup=False)
