"""The device, threads and random generators of a run."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from metadialog.errors import ConfigError
from metadialog.experiment.config import Device
from metadialog.memory import keep_freed_memory


def seed_everything(seed: int) -> None:
    """Seed all global random generators."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries draw from this one
    torch.manual_seed(seed)


@contextmanager
def own_settings(threads: int | None) -> Iterator[None]:
    """Set the number of CPU threads, and restore threads and random generators on exit.

    The memory allocator is set to keep freed memory for later tensors, which is not undone.

    Args:
        threads: number of threads; None for torch's default of one per core.
    """
    keep_freed_memory()
    before = torch.get_num_threads(), random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        random.setstate(before[1])
        np.random.set_state(before[2])  # noqa: NPY002
        torch.set_rng_state(before[3])


def find_device(device: Device, local_rank: int = 0, processes: int = 1) -> torch.device:
    """Return the device to compute on.

    Args:
        device: requested device.
        local_rank: number of the process among those on this machine, each of which uses its own GPU.
        processes: number of processes of the run.

    Raises:
        ConfigError: the device does not exist.
    """
    if device == "mps":
        if not torch.backends.mps.is_available():
            raise ConfigError("device=mps: torch finds no Apple GPU here; use device=cpu or device=auto")
        return torch.device("mps")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "cpu" or (device == "auto" and count == 0):
        return torch.device("cpu")
    if count == 0:
        raise ConfigError(f"device={device}: torch finds no CUDA device here; use device=cpu or device=auto")
    _, colon, number = device.partition(":")
    if colon and processes > 1:
        raise ConfigError(f"device={device}: each of the {processes} processes needs its own GPU; use device=cuda")
    if colon and int(number) >= count:
        raise ConfigError(f"device={device}: torch finds {count} CUDA devices here, the last is cuda:{count - 1}")
    # If a launcher shows each process only its own GPU, that GPU is number 0.
    result = torch.device("cuda", int(number) if colon else local_rank % count)
    torch.cuda.set_device(result)
    return result


def check_dtype(device: torch.device, dtype: str) -> None:
    """Check that a device supports a data type.

    Raises:
        ConfigError: it does not.
    """
    if device.type == "mps" and dtype == "float64":
        raise ConfigError("dtype=float64: device=mps supports only float32; choose one of them")
