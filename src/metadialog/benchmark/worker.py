"""The process of one contender, which prepares a workload and takes steps on request."""

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
    """Request to prepare a workload; answered by `Prepared`."""

    configuration: Configuration
    inner_steps: int


@dataclass(frozen=True, slots=True)
class Step:
    """Request of a meta-step; answered by its time in seconds, a float."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Results of the first step.

    Attributes:
        peak_bytes: peak memory in addition to model and data.
        probes: products of the gradient with fixed random vectors, for comparing contenders.
    """

    peak_bytes: int
    probes: list[float]


@dataclass(frozen=True, slots=True)
class Failed:
    """Answer to a failed request, with the reason."""

    why: str


def work(pipe: Connection, name: Name, threads: int | None, device_name: str) -> None:
    """Serve requests until the pipe is closed.

    Args:
        pipe: connection for requests and answers.
        name: the contender.
        threads: number of CPU threads; None for torch's default.
        device_name: device to compute on.
    """
    warnings.simplefilter("ignore")  # peers emit warnings
    try:
        _serve(pipe, name, threads, torch.device(device_name))
    except (RuntimeError, OSError, ImportError) as error:  # from torch, the system, or a peer's library
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
    # Off for all contenders, as second derivatives require it.
    with torch.backends.cudnn.flags(enabled=False):
        gradient(make_workload(WARM_UP, 2, device))  # so that one-time setup is not measured
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
            except RuntimeError as error:  # not enough memory; the next workload may be smaller
                workload = None
                pipe.send(_failed(error))


def _prepared(gradient: Callable[[Workload], Gradients], workload: Workload, device: torch.device) -> Prepared:
    """Take and measure the first step."""
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
