"""Random numbers that belong to a task: the same in every process, and whatever was computed before."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

_BITS = 63


class TaskSeeds:
    """Gives each task of a meta-batch a seed of its own.

    The seeds depend on one number, which is drawn from torch's global generator when this is made, and on the task.
    So what is drawn for a task (its dropout masks) depends neither on how many tasks are computed before it nor on
    how many processes share the meta-batch, and the global generator goes on as if nothing had been drawn.
    """

    def __init__(self) -> None:
        self._base = int(torch.randint(2**_BITS - 1, ()))

    @contextmanager
    def of(self, task: int) -> Iterator[None]:
        """Seed the global generators for one task; put them back afterwards.

        Args:
            task: its number, `Episode.index`.
        """
        devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
        with torch.random.fork_rng(devices):
            torch.manual_seed(derive(self._base, task))
            yield


def derive(seed: int, number: int) -> int:
    """Return a seed that depends on another and on a number, and is like no other."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:8], "big") >> (64 - _BITS)


def drops(model: nn.Module) -> bool:
    """Tell whether a pass through the model draws random numbers: it is in training, and drops units."""
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
    """Put torch's global generators into a state that `random_state` has returned."""
    torch.set_rng_state(state[0])
    if state[1:]:
        torch.cuda.set_rng_state(state[1])
