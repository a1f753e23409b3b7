"""Random numbers of a task, independent of the process and of what was computed before."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

_BITS = 63


class TaskSeeds:
    """Gives each task of a meta-batch its own seed.

    A seed depends on the task and on one number that is drawn from torch's global generator at construction. The random
    numbers of a task (its dropout masks) therefore depend neither on the tasks computed before it nor on the number of
    processes, and the global generator is not affected by them.
    """

    def __init__(self) -> None:
        self._base = int(torch.randint(2**_BITS - 1, ()))

    @contextmanager
    def of(self, task: int) -> Iterator[None]:
        """Seed the global generators for one task; restore them on exit.

        Args:
            task: number of the task, `Episode.index`.
        """
        devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
        with torch.random.fork_rng(devices):
            torch.manual_seed(derive(self._base, task))
            yield


def derive(seed: int, number: int) -> int:
    """Derive a distinct seed from a seed and a number."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:8], "big") >> (64 - _BITS)


def drops(model: nn.Module) -> bool:
    """Tell whether a forward pass draws random numbers: the model is in training mode and has dropout."""
    return model.training and any(_probability(part) > 0 for part in model.modules())


def _probability(part: nn.Module) -> float:
    if isinstance(part, nn.Dropout):
        return part.p
    return float(part.dropout) if isinstance(part, nn.RNNBase) else 0.0


def random_state() -> tuple[Tensor, ...]:
    """Return the states of torch's global generators, of the CPU and of the current GPU."""
    on_gpu = (torch.cuda.get_rng_state(),) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    return torch.get_rng_state(), *on_gpu


def set_random_state(state: tuple[Tensor, ...]) -> None:
    """Restore a state of torch's global generators that `random_state` returned."""
    torch.set_rng_state(state[0])
    if state[1:]:
        torch.cuda.set_rng_state(state[1])
