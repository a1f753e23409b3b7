"""The number of CPU threads of a run that shares the machine with others."""

import os


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share(runs: int) -> int:
    """Return the number of threads for each of several runs that share the cores of this machine."""
    return max(1, cores() // max(1, runs))
