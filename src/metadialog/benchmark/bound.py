"""The least time that the arithmetic of a meta-step allows on this machine."""

import time
from collections.abc import Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode

from metadialog.benchmark.contenders import gradient_descent
from metadialog.benchmark.workload import Workload

PASS = 3
"""A forward pass costs one unit, a backward pass two."""
HESSIAN_PRODUCT = 6
"""The tangent of a forward and of a backward pass, each twice the pass, with the pass's activations at hand."""


def operations(work: Workload) -> tuple[float, float]:
    """Count the floating-point operations of the matrix products.

    Returns:
        Of an exact meta-step, which takes a pass and a Hessian-vector product for each inner step over the support
        sets and a pass over the query sets; and of ordinary gradient descent, a pass over both.
    """
    # Inside cuDNN's recurrent layers nothing is counted.
    with torch.backends.cudnn.flags(enabled=False), FlopCounterMode(display=False) as counter:
        gradient_descent(work)
    descent = float(counter.get_total_flops())
    unit = descent / (2 * PASS)  # of one set; support and query are of one size
    return unit * (work.inner.steps * (PASS + HESSIAN_PRODUCT) + PASS), descent


def product_rate(device: torch.device, sizes: Sequence[int] | None = None, seconds: float = 1.0) -> float:
    """Measure the rate of large matrix products in single precision: the best of many, operations a second.

    Args:
        device: where to compute.
        sizes: of square matrices, in turns; None for some that are large, but on a CPU soon done: a product that takes
            longer than a turn on a busy processor is always disturbed.
        seconds: how long to measure.
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
