"""How the model computes inside a program that has other things to do."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

THREADS = 1
"""CPU threads of a computation, as the commands have it: more make models of these sizes slower."""


@contextmanager
def computing(threads: int | None = THREADS) -> Iterator[None]:
    """Compute without a graph, with a number of CPU threads; the calling thread gets its own settings back.

    Args:
        threads: CPU threads; None leaves the calling program's number as it is.
    """
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        with torch.no_grad():
            yield
    finally:
        if threads is not None:
            torch.set_num_threads(before)
