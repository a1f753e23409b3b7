"""Free memory of the machine or its GPU, and the peak memory of this process."""

import contextlib
import ctypes
import gc
from pathlib import Path

import torch

_CLEAR_REFS, _RESET_PEAK = Path("/proc/self/clear_refs"), "5"
_STATUS = Path("/proc/self/status")
_MACHINE = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")
"""Memory limit of a container, in version 2 of Linux's control groups."""


# Constants of glibc's <malloc.h>.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT, _MAPPED = 2**30, 2**25
"""Memory that may stay free at the end of the heap, and the size from which tensors are mapped, at most 32 MiB."""


def keep_freed_memory() -> None:
    """Keep freed memory in the process for reuse, instead of returning it to the system.

    Otherwise each tensor of some MiB is mapped anew, and the system clears all of its pages; a step of several tasks
    creates hundreds of them. Without glibc this does nothing.
    """
    with contextlib.suppress(OSError, AttributeError):
        set_option = ctypes.CDLL(None).mallopt
        set_option(_M_TRIM_THRESHOLD, _KEPT)
        set_option(_M_MMAP_THRESHOLD, _MAPPED)


class PeakMemory:
    """Measures the peak memory since it was created.

    On the CPU this is the resident set of the process as counted by Linux; memory freed earlier is returned to the
    system first, so that it does not hide new use.

    Args:
        device: device of the computation.

    Raises:
        OSError: the system has no `/proc` like Linux.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
            self._before = torch.cuda.memory_allocated(device)
        else:
            ctypes.CDLL(None).malloc_trim(0)
            _CLEAR_REFS.write_text(_RESET_PEAK)
            self._before = _resident("VmRSS")

    def bytes(self) -> int:
        """Return the peak since creation, minus the memory in use at creation."""
        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self._device) - self._before)
        return _resident("VmHWM") - self._before


def measure(device: torch.device) -> PeakMemory | None:
    """Start measuring; return None if the system does not count the peak of a process."""
    try:
        return PeakMemory(device)
    except (OSError, AttributeError):  # no /proc; another C library
        return None


def free(device: torch.device) -> int | None:
    """Return the bytes that are free for this process on a device; None if unknown."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    try:
        machine = _kibibytes(_MACHINE, "MemAvailable") + _kibibytes(_MACHINE, "SwapFree")
    except (OSError, ValueError):
        return None
    try:
        limit = int((_GROUP / "memory.max").read_text()) - int((_GROUP / "memory.current").read_text())
    except (OSError, ValueError):  # no group, or "max" for no limit
        return machine
    return min(machine, limit)


def _resident(field: str) -> int:
    """Return a field of the process's status, in bytes."""
    return _kibibytes(_STATUS, field)


def _kibibytes(path: Path, field: str) -> int:
    """Return a field of a Linux file of names and sizes, in bytes."""
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise OSError(f"{path} has no {field}")
