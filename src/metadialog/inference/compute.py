"""The thread settings of models within a larger program."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

THREADS = 1
"""Number of CPU threads, as in the commands; more would slow down models of these sizes."""


@contextmanager
def computing(threads: int | None = THREADS) -> Iterator[None]:
    """Disable gradients and set the number of CPU threads; the previous settings are restored on exit.

    Args:
        threads: number of CPU threads; None to keep the current number.
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
