"""Measurement of the contenders in turns, each in a separate process."""

import itertools
import logging
import multiprocessing
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, Gt, Le, MinLen

from metadialog.benchmark.base import RESULTS, TABLE, BaseBenchmark
from metadialog.benchmark.bound import operations, product_rate
from metadialog.benchmark.contenders import CONTENDERS, Contender, Name
from metadialog.benchmark.worker import Failed, Prepare, Prepared, Step, work
from metadialog.benchmark.workload import CONFIGURATIONS, Configuration, Size, make_workload
from metadialog.errors import MetadialogError
from metadialog.reports.meta_steps import bench_figure, bench_table, read_bench
from metadialog.runs.atomic import replacing, write_atomically

log = logging.getLogger(__name__)

LEARN2LEARN: Name = "peer/learn2learn"
GRADIENT_DESCENT: Name = "gd"
QUARTILES = [25, 50, 75]


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one contender, an object of `bench.json`.

    Attributes:
        config: small, medium or large, or a variation such as small-tasks-64 or small-hidden-256.
        kind: engine, peer or yardstick.
        engine: name; learn2learn is both an engine and a peer, its documented loop.
        inner_steps: number of inner steps.
        tasks: number of tasks in the meta-batch.
        hidden_size: width of the model.
        device: cpu or cuda.
        ms_median: median time of a meta-step without the optimizer, milliseconds; `ms_q1` and `ms_q3` are quartiles.
        tasks_per_second: rate at the median time.
        peak_bytes: peak memory of the first step in addition to model and data.
        ratio_to_learn2learn: time over that of the peer learn2learn in the same round, the median; as quartiles
            `ratio_to_learn2learn_q1` and `_q3`.
        ratio_to_gd: the same relative to gradient descent on the same tokens.
        bound_ms: time of the matrix products at the rate of large ones.
        error: relative error of the meta-gradient against the peer learn2learn, by random probes; None for gd.
        rounds: number of measured steps.
    """

    config: str
    kind: str
    engine: str
    inner_steps: int
    tasks: int
    hidden_size: int
    device: str
    ms_median: float
    ms_q1: float
    ms_q3: float
    tasks_per_second: float
    peak_bytes: int
    ratio_to_learn2learn: float
    ratio_to_learn2learn_q1: float
    ratio_to_learn2learn_q3: float
    ratio_to_gd: float
    ratio_to_gd_q1: float
    ratio_to_gd_q3: float
    bound_ms: float
    error: float | None
    rounds: int

    @property
    def line(self) -> str:
        """A description of the result."""
        return (
            f"{self.config}, {self.inner_steps} inner steps: {self.kind} {self.engine} "
            f"{self.ms_median:.1f} ms ({self.ms_q1:.1f} to {self.ms_q3:.1f}), "
            f"{self.peak_bytes / 2**20:.0f} MiB, {self.ratio_to_gd:.2f} of gd, "
            f"{1 / self.ratio_to_learn2learn:.2f} times as fast as learn2learn"
        )


class ContenderError(MetadialogError):
    """A contender does not support the workload."""


@dataclass(slots=True)
class Lane:
    """A contender's process and its results."""

    contender: Contender
    pipe: Connection
    seconds: list[float] = field(default_factory=list)

    def ask(self, request: Prepare | Step) -> Any:  # noqa: ANN401 - the answer depends on the request
        """Send a request and wait for the answer.

        Raises:
            ContenderError: the process failed or has ended.
        """
        try:
            self.pipe.send(request)
            answer = self.pipe.recv()
        except (ConnectionError, EOFError):
            answer = Failed("its process has ended, for lack of memory perhaps")
        if isinstance(answer, Failed):
            raise ContenderError(
                f"bench.contenders: {self.contender.kind} {self.contender.name}: {answer.why}; leave it out, or "
                "measure smaller bench.configs or fewer bench.inner_steps"
            )
        return answer


@dataclass(frozen=True, slots=True)
class Case:
    """A case to measure."""

    name: str
    configuration: Configuration
    inner_steps: int


def _cases(configs: list[Size], inner_steps: list[int], tasks: list[int], hidden_sizes: list[int]) -> Iterator[Case]:
    """Yield each configuration with each number of inner steps, then the variations of the first."""
    for config, steps in itertools.product(configs, inner_steps):
        yield Case(config, CONFIGURATIONS[config], steps)
    first, steps = configs[0], inner_steps[0]
    for number in tasks:
        yield Case(f"{first}-tasks-{number}", replace(CONFIGURATIONS[first], tasks=number), steps)
    for width in hidden_sizes:
        yield Case(f"{first}-hidden-{width}", replace(CONFIGURATIONS[first], hidden_size=width), steps)


class Benchmark(BaseBenchmark):
    """Measures contenders on configurations with different numbers of inner steps.

    Args:
        device: device to compute on.
        configs: sizes of model and meta-batch.
        inner_steps: numbers of inner steps.
        tasks: other numbers of tasks for the first of `configs`, with the first of `inner_steps`.
        hidden_sizes: other widths of the model, likewise.
        contenders: contenders to measure, in addition to the peer learn2learn and gd.
        rounds: number of steps of each, in turns.
        seconds: time after which no new round is started, from the third on.
        threads: number of CPU threads of each; None for one per core.
    """

    def __init__(
        self,
        device: torch.device,
        *,
        configs: Annotated[list[Size], MinLen(1)],
        inner_steps: Annotated[list[Annotated[int, Ge(1), Le(10**6)]], MinLen(1)],
        tasks: list[Annotated[int, Ge(1), Le(10**4)]],
        hidden_sizes: list[Annotated[int, Ge(1), Le(10**5)]],
        contenders: list[Name],
        rounds: Annotated[int, Ge(3), Le(10**4)],
        seconds: Annotated[float, Gt(0), Le(1e6)],
        threads: Annotated[int, Ge(1), Le(1024)] | None,
    ) -> None:
        self.device = device
        self.cases = list(_cases(configs, inner_steps, tasks, hidden_sizes))
        self.names = list(dict.fromkeys([GRADIENT_DESCENT, LEARN2LEARN, *contenders]))
        self.rounds = rounds
        self.seconds = seconds
        self.threads = threads

    def missing(self) -> list[Name]:
        """Return the contenders whose library is not installed."""
        return [name for name in self.names if not CONTENDERS[name].available]

    def results(self) -> Iterator[Result]:
        """Yield the results of all configurations and numbers of inner steps."""
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        rate = 0.0
        with ExitStack() as stack:
            names = [name for name in self.names if name not in self.missing()]
            lanes = {name: stack.enter_context(self.lane(name)) for name in names}
            for case in self.cases:
                # The best of all measurements, as disturbances only slow it down.
                rate = max(rate, product_rate(self.device))
                yield from self._measure(lanes, case, rate)

    def summarise(self, directory: Path) -> str:
        """Write `table.md` and `cost.png` from `bench.json`, and return the table."""
        costs = read_bench(directory / RESULTS)
        table = bench_table(costs)
        write_atomically(directory / TABLE, table)
        with replacing(directory / "cost.png") as partial:
            bench_figure(costs).savefig(partial, format="png")
        return table

    @contextmanager
    def lane(self, name: Name) -> Iterator[Lane]:
        """Start a contender's process, and end it on exit."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, name, self.threads, self.device.type), daemon=True)
        with _without_interrupts():
            process.start()
        theirs.close()
        try:
            yield Lane(CONTENDERS[name], ours)
        except BaseException:
            process.kill()  # even if it is busy
            raise
        finally:
            ours.close()
            process.join(timeout=10)
            if process.is_alive():
                process.kill()

    def _measure(self, lanes: dict[Name, Lane], case: Case, rate: float) -> Iterator[Result]:
        prepared: dict[Name, Prepared] = {}
        for name, lane in lanes.items():
            lane.seconds.clear()
            with self._or_leave_out(name, case, prepared):
                prepared[name] = lane.ask(Prepare(case.configuration, case.inner_steps))
        self._take_turns(lanes, case, prepared)
        workload = make_workload(case.configuration, case.inner_steps, self.device)
        exact, descent = operations(workload)
        learn2learn = np.array(lanes[LEARN2LEARN].seconds)
        ordinary = np.array(lanes[GRADIENT_DESCENT].seconds)
        probes = np.array(prepared[LEARN2LEARN].probes)
        for name, first in prepared.items():
            contender, seconds = lanes[name].contender, np.array(lanes[name].seconds)
            low, median, high = np.percentile(1000 * seconds, QUARTILES)
            by_peer, by_descent = (np.percentile(seconds / other, QUARTILES) for other in (learn2learn, ordinary))
            is_descent = contender.kind == "yardstick"
            yield Result(
                config=case.name,
                kind=contender.kind,
                engine=contender.name,
                inner_steps=case.inner_steps,
                tasks=case.configuration.tasks,
                hidden_size=case.configuration.hidden_size,
                device=self.device.type,
                ms_median=float(median),
                ms_q1=float(low),
                ms_q3=float(high),
                tasks_per_second=float(1000 * case.configuration.tasks / median),
                peak_bytes=first.peak_bytes,
                ratio_to_learn2learn=float(by_peer[1]),
                ratio_to_learn2learn_q1=float(by_peer[0]),
                ratio_to_learn2learn_q3=float(by_peer[2]),
                ratio_to_gd=float(by_descent[1]),
                ratio_to_gd_q1=float(by_descent[0]),
                ratio_to_gd_q3=float(by_descent[2]),
                bound_ms=1000 * (descent if is_descent else exact) / rate,
                error=None if is_descent else _error(np.array(first.probes), probes),
                rounds=len(seconds),
            )

    def _take_turns(self, lanes: dict[Name, Lane], case: Case, prepared: dict[Name, Prepared]) -> None:
        """Let all contenders take a step in every round, so that slow periods of the machine affect all of them."""
        began = time.perf_counter()
        for done in range(self.rounds):
            if done >= 3 and time.perf_counter() - began > self.seconds:
                return
            for name in list(prepared):
                with self._or_leave_out(name, case, prepared):
                    lanes[name].seconds.append(lanes[name].ask(Step()))

    @contextmanager
    def _or_leave_out(self, name: Name, case: Case, prepared: dict[Name, Prepared]) -> Iterator[None]:
        """Continue without a contender that fails, unless the others are compared with it."""
        try:
            yield
        except ContenderError as reason:
            if name in {LEARN2LEARN, GRADIENT_DESCENT}:
                raise
            prepared.pop(name, None)
            log.warning("%s, %d inner steps, without one of %s", case.name, case.inner_steps, reason)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Block Ctrl-C in child processes, which are ended by this process."""
    resource_tracker.ensure_running()  # if it were started later, it would lift the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _error(actual: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(actual - expected).max() / np.abs(expected).max())
