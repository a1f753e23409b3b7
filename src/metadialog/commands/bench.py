"""`metadialog bench`: measure what the meta-gradient costs."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from metadialog.benchmark.measure import Benchmark, write
from metadialog.cli.composed_job import Job
from metadialog.config import build
from metadialog.console import make_console
from metadialog.experiment.config import Device, Node
from metadialog.experiment.hardware import find_device
from metadialog.reports.cost import cost_figure, cost_table, read_costs
from metadialog.runs.atomic import replacing, write_atomically


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """The options of the command.

    Attributes:
        bench: the benchmark.
        device: to compute on.
        output: the directory to write to.
    """

    command: ClassVar[str] = "bench"

    bench: Node
    device: Device
    output: str


def main(job: Job) -> None:
    """Measure, show the table as it grows, and write `bench.json`, `table.md` and `cost.png`."""
    config: BenchConfig = build(job.config)
    directory, console = Path(config.output).expanduser(), make_console(soft_wrap=True)
    benchmark: Benchmark = build(config.bench, find_device(config.device))
    directory.mkdir(parents=True, exist_ok=True)
    for name in benchmark.missing():
        console.print(f"{name} is not installed, and left out: uv sync --group bench", markup=False)
    results = []
    for result in benchmark.results():
        results.append(result)
        write(results, directory / "bench.json")
        console.print(
            f"{result.config}, {result.inner_steps} inner steps: {result.kind} {result.engine} "
            f"{result.ms_median:.1f} ms ({result.ms_q1:.1f} to {result.ms_q3:.1f}), "
            f"{result.peak_bytes / 2**20:.0f} MiB, {result.ratio_to_gd:.2f} of gd, "
            f"{1 / result.ratio_to_learn2learn:.2f} times as fast as learn2learn",
            markup=False,
        )
    costs = read_costs(directory / "bench.json")
    table = cost_table(costs)
    write_atomically(directory / "table.md", table)
    with replacing(directory / "cost.png") as partial:
        cost_figure(costs).savefig(partial, format="png")
    console.print(f"\n{table}\n{directory}: bench.json, table.md, cost.png", markup=False)
