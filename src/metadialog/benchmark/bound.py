"""The least time that the arithmetic of a meta-step allows on this machine."""

import time

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


def product_rate(device: torch.device, size: int | None = None, seconds: float = 1.0) -> float:
    """Measure the rate of large matrix products in single precision: the best of many, operations a second.

    Args:
        device: where to compute.
        size: of the square matrices; None for what keeps the device busy for much longer than it takes to be told.
        seconds: how long to measure.
    """
    if size is None:
        size = 1536 if device.type == "cpu" else 8192
    a, b = torch.randn(2, size, size, device=device)
    best = float("inf")
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        torch.mm(a, b)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best
