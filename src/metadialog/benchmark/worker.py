"""One contender in a process of its own: it prepares a workload, and takes steps when it is told to."""

import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

import torch

from metadialog.benchmark.contenders import CONTENDERS, Gradients, Name
from metadialog.benchmark.workload import Configuration, Workload, make_workload
from metadialog.memory import PeakMemory, keep_freed_memory

PROBES = 8
WARM_UP = Configuration(vocab_size=50, hidden_size=8, tasks=2, batch=2, time=4)


@dataclass(frozen=True, slots=True)
class Prepare:
    """Asks for a workload to be made ready; answered by `Prepared`."""

    configuration: Configuration
    inner_steps: int


@dataclass(frozen=True, slots=True)
class Step:
    """Asks for a meta-step; answered by its seconds, a float."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the first step has shown.

    Attributes:
        peak_bytes: its memory above the model's and the data's.
        probes: the gradient's products with fixed random vectors, to compare contenders by.
    """

    peak_bytes: int
    probes: list[float]


@dataclass(frozen=True, slots=True)
class Failed:
    """Answers any request that could not be met: why, in a line."""

    why: str


def work(pipe: Connection, name: Name, threads: int | None, device_name: str) -> None:
    """Serve requests until the pipe is closed.

    Args:
        pipe: brings requests, takes answers.
        name: the contender.
        threads: CPU threads; None for torch's choice.
        device_name: where to compute.
    """
    warnings.simplefilter("ignore")  # the peers warn of what they do inside
    try:
        _serve(pipe, name, threads, torch.device(device_name))
    except (RuntimeError, OSError, ImportError) as error:  # of torch, the system, or a peer's library
        with suppress(EOFError, OSError):  # until the other end is closed
            pipe.send(_failed(error))
            while True:
                pipe.recv()


def _failed(error: Exception) -> Failed:
    return Failed((str(error).splitlines() or [type(error).__name__])[0])


def _serve(pipe: Connection, name: Name, threads: int | None, device: torch.device) -> None:
    keep_freed_memory()  # as in training
    if threads is not None:
        torch.set_num_threads(threads)
    gradient = CONTENDERS[name].gradient
    workload: Workload | None = None
    # The inner loop's second derivatives need it off, so it is off for everybody.
    with torch.backends.cudnn.flags(enabled=False):
        gradient(make_workload(WARM_UP, 2, device))  # what the first call alone sets up is not the step's
        while True:
            try:
                request = pipe.recv()
            except EOFError:
                return
            try:
                if isinstance(request, Prepare):
                    workload = None
                    workload = make_workload(request.configuration, request.inner_steps, device)
                    pipe.send(_prepared(gradient, workload, device))
                elif workload is not None:
                    began = time.perf_counter()
                    gradient(workload)
                    _finish(device)
                    pipe.send(time.perf_counter() - began)
            except RuntimeError as error:  # too little memory for this one; the next may be smaller
                workload = None
                pipe.send(_failed(error))


def _prepared(gradient: Callable[[Workload], Gradients], workload: Workload, device: torch.device) -> Prepared:
    """Take the first step, and watch it."""
    peak = PeakMemory(device)
    gradients = gradient(workload)
    _finish(device)
    return Prepared(peak.bytes(), _probe(gradients))


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _probe(gradients: Gradients) -> list[float]:
    generator = torch.Generator().manual_seed(1)
    results = []
    for _ in range(PROBES):
        products = [torch.randn(g.shape, generator=generator).mul_(g.cpu()).sum(dtype=torch.float64) for g in gradients]
        results.append(float(sum(products)))
    return results
