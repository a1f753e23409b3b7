"""A lower bound of the time of a meta-step from its arithmetic."""

import time
from collections.abc import Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode

from metadialog.benchmark.contenders import gradient_descent
from metadialog.benchmark.workload import Workload

PASS = 3
"""A forward pass costs one unit, a backward pass two."""
HESSIAN_PRODUCT = 6
"""The tangents of a forward and a backward pass, each twice the pass, given its activations."""


def operations(work: Workload) -> tuple[float, float]:
    """Count the floating-point operations of the matrix products.

    Returns:
        Those of an exact meta-step, with a pass and a Hessian-vector product over the support sets for each inner step
        and a pass over the query sets; and those of gradient descent, with a pass over both.
    """
    # Operations inside cuDNN's recurrent layers are not counted.
    with torch.backends.cudnn.flags(enabled=False), FlopCounterMode(display=False) as counter:
        gradient_descent(work)
    descent = float(counter.get_total_flops())
    unit = descent / (2 * PASS)  # for one set; support and query have the same size
    return unit * (work.inner.steps * (PASS + HESSIAN_PRODUCT) + PASS), descent


def product_rate(device: torch.device, sizes: Sequence[int] | None = None, seconds: float = 1.0) -> float:
    """Measure the best rate of large single-precision matrix products, in operations per second.

    Args:
        device: device to compute on.
        sizes: sizes of square matrices; None for large ones that take less than a time slice of a busy CPU.
        seconds: duration of the measurement.
    """
    if sizes is None:
        sizes = (512, 1024, 1536) if device.type == "cpu" else (8192,)
    pairs = [torch.randn(2, size, size, device=device) for size in sizes]
    best = 0.0
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for a, b in pairs:
            began = time.perf_counter()
            torch.mm(a, b)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            best = max(best, 2 * len(a) ** 3 / (time.perf_counter() - began))
    return best
