"""How many CPU threads a run computes with, where other runs want the cores too."""

import os


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share(runs: int) -> int:
    """Return the threads of each of several runs on this machine, so that they do not fight for its cores."""
    return max(1, cores() // max(1, runs))
