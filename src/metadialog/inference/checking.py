"""Checks of arguments of the Python API."""

import math
import os
from pathlib import Path
from typing import Any

import torch

from metadialog.datasets.local import expand
from metadialog.errors import ConfigError, RunError

MOST_SEED = 2**63 - 2**32  # maximum of torch's generators, minus the reply numbers that are added to it


def check_whole(option: str, value: Any, least: int, most: float = math.inf) -> None:  # noqa: ANN401 - whatever is given
    """Check that a value is an integer within a range.

    Raises:
        ConfigError: it is not.
    """
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or not least <= value <= most:
        upwards = f", {least} or more" if most == math.inf else f" from {least} to {most}"
        raise ConfigError(f"{option}={value!r:.40}: should be a whole number{upwards}")


def check_rate(rate: Any) -> None:  # noqa: ANN401
    """Check that a value is a finite number above 0.

    Raises:
        ConfigError: it is not.
    """
    is_number = isinstance(rate, int | float) and not isinstance(rate, bool)
    if not is_number or not 0 < rate < math.inf:
        raise ConfigError(f"rate={rate!r:.40}: should be over 0, and finite")


def as_device(device: Any) -> torch.device:  # noqa: ANN401
    """Return a torch device; None is the CPU.

    Raises:
        ConfigError: the device does not exist.
    """
    try:
        made = torch.device("cpu" if device is None else device)
        torch.empty(0, device=made)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ConfigError(f"device={device!s:.40}: should be cpu, or a device that torch finds here") from error
    return made


def as_folder(folder: Any) -> Path:  # noqa: ANN401
    """Return the path of a folder.

    Raises:
        RunError: it is no path.
        ConfigError: it begins with `~user`, and there is no such home folder.
    """
    if not isinstance(folder, str | os.PathLike) or not os.fspath(folder) or "\0" in str(folder):
        raise RunError(f"folder={folder!r:.40}: should be the path of a folder")
    return expand(str(folder), "folder")
