"""Memory of the machine or of its GPU: what is free, and the peak of this process above what was in use before."""

import contextlib
import ctypes
import gc
from pathlib import Path

import torch

_CLEAR_REFS, _RESET_PEAK = Path("/proc/self/clear_refs"), "5"
_STATUS = Path("/proc/self/status")
_MACHINE = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")
"""What limits the processes of a container, by the second version of Linux's control groups."""


# Of glibc's <malloc.h>.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT, _MAPPED = 2**30, 2**25
"""What may stay free at the end of the heap, and from which size on a tensor is mapped by itself, at most 32 MiB."""


def keep_freed_memory() -> None:
    """Let memory that is freed be used again by this process, rather than go back to the system and come anew.

    A tensor of some MiB is otherwise mapped afresh each time, and the system clears every page of it: a step of several
    tasks at once makes hundreds of them. Where the C library is not glibc, nothing is changed.
    """
    with contextlib.suppress(OSError, AttributeError):
        set_option = ctypes.CDLL(None).mallopt
        set_option(_M_TRIM_THRESHOLD, _KEPT)
        set_option(_M_MMAP_THRESHOLD, _MAPPED)


class PeakMemory:
    """Measures from its making on.

    On the CPU it is the resident set that Linux counts for the process; what was freed before has been given back
    first, so that it does not hide new use.

    Args:
        device: of the work.

    Raises:
        OSError: the system has no `/proc` as Linux has.
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
        """Return the peak since then, above what was in use then."""
        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self._device) - self._before)
        return _resident("VmHWM") - self._before


def measure(device: torch.device) -> PeakMemory | None:
    """Measure from now on; None where the system does not count a process's peak."""
    try:
        return PeakMemory(device)
    except (OSError, AttributeError):  # no /proc; another C library
        return None


def free(device: torch.device) -> int | None:
    """Return the bytes that are free for this process on a device; None where the system does not say."""
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
    except (OSError, ValueError):  # no group, or "max": none has a limit
        return machine
    return min(machine, limit)


def _resident(field: str) -> int:
    """Return a field of the process's status, in bytes."""
    return _kibibytes(_STATUS, field)


def _kibibytes(path: Path, field: str) -> int:
    """Return a field of one of Linux's files of names and sizes, in bytes."""
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise OSError(f"{path} has no {field}")
