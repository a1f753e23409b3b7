"""Data parallelism: how several processes share a run."""

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous
from torch.nn import Parameter

from metadialog.algorithms.base import OuterStep
from metadialog.errors import LostError
from metadialog.training.launch import RankInfo, meet

Item = TypeVar("Item")
Result = TypeVar("Result")

MEETING = timedelta(minutes=5)
"""Time limit for all processes to start."""
WAITING = timedelta(hours=1)
"""Time limit for a live process to reach the point where the others wait."""

_FAILED, _DONE = "metadialog/failed", "metadialog/done"
_POLL_SECONDS = 0.05
_LOOK_SECONDS = 1.0  # between checks whether another process has failed
_STAY_SECONDS = 10.0  # for the others to notice a failure, and to ask for its reason
GRACE_SECONDS = 2.0  # for a signal to all processes to reach this one after another has ended


class Ranks:
    """The processes of one run. With one process, there is one rank and all methods are trivial.

    Args:
        here: this process.
        store: the `torch.distributed.Store` by which they exchange messages; None for a run in one process.
    """

    def __init__(self, here: RankInfo, store: Any = None) -> None:  # noqa: ANN401 - torch has types for some stores only
        self.rank = here.rank
        self.size = here.size
        self.local_rank = here.local_rank
        self.is_first = here.is_first
        self._store = store
        self._has_heard = False  # whether another process has failed and given the reason

    # Messages, which do not need a process group.

    def tell(self, name: str, value: str) -> None:
        """Send a message to the other processes."""
        if self._store is not None:
            self._store.set(f"metadialog/{name}", value)

    def hear(self, name: str) -> str:
        """Wait for a message of the first process.

        Raises:
            LostError: another process has failed, or the message has not arrived in time.
        """
        key, until = f"metadialog/{name}", time.monotonic() + MEETING.total_seconds()
        while time.monotonic() < until:
            try:
                if self._store.check([key]):
                    return str(self._store.get(key).decode())
            except (RuntimeError, OSError) as error:
                raise self._lost(error) from error
            self._look()
            time.sleep(_POLL_SECONDS)
        raise LostError(f"process 0 of {self.size} has not started within {MEETING}")

    @contextlib.contextmanager
    def failing(self) -> Iterator[bool]:
        """Report that this process fails; yield whether it is the first one, which reports the reason.

        The reason must be reported within the context: on exit, the process that holds the store waits for the others
        to read it.
        """
        yield self._claim(_FAILED) == 1 if self._store is not None else True
        self._stay(_FAILED)

    def _claim(self, key: str) -> int:
        """Count this process among those that have failed, or have finished; return their number."""
        try:
            return int(self._store.add(key, 1))
        except (RuntimeError, OSError):  # the process that held the store has ended
            return 2 if self._has_heard else 1

    def _stay(self, key: str) -> None:
        """In the process that holds the store, wait for all others to be counted, up to a time limit."""
        if self._store is None or not self.is_first:
            return
        until = time.monotonic() + _STAY_SECONDS
        with contextlib.suppress(RuntimeError, OSError):
            while self._store.add(key, 0) < self.size and time.monotonic() < until:
                time.sleep(_POLL_SECONDS)

    # Collective operations.

    @contextlib.contextmanager
    def connected(self, device: torch.device) -> Iterator[None]:
        """Form the process group: NCCL between GPUs, Gloo for everything else.

        Raises:
            LostError: the others do not join.
        """
        if self._store is None:
            yield
            return
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        try:
            dist.init_process_group(backend, store=self._store, rank=self.rank, world_size=self.size, timeout=WAITING)
        except (RuntimeError, OSError) as error:
            raise self._lost(error) from error
        yield
        # Not if this process fails, as it would wait for the others.
        self._claim(_DONE)
        self._stay(_DONE)
        dist.destroy_process_group()

    def part_of(self, count: int) -> slice:
        """Return the items that this process computes; they are distributed in turn."""
        return slice(self.rank, count, self.size)

    def combine(
        self, parameters: Sequence[Parameter], step: OuterStep, tasks: int, tokens: tuple[int, int]
    ) -> tuple[OuterStep, tuple[int, int]]:
        """Combine the gradients and losses of all parts of a meta-batch, in place.

        It is one all-reduce in the parameters' dtype. Parts are weighted by size (`OuterStep.size`, or tasks).

        Args:
            parameters: all parameters of the optimizer; their `.grad` becomes that of the whole meta-batch.
            step: losses of this process's part.
            tasks: number of tasks that count; with 0, gradient and losses are used only for their shapes.
            tokens: number of tokens of the support and of the query sets of its tasks, including tasks that do not
                count.

        Returns:
            The losses of the whole meta-batch, NaN if no part of it has a task, and its tokens.
        """
        if self.size == 1:
            return step, tokens
        size = float(tasks if step.size is None or tasks == 0 else step.size)
        weight = float(tasks > 0) if step.reduction == "sum" else size
        losses = [step.loss * weight, step.support_loss * size, step.query_loss * size, size]
        figures = [*(losses if tasks else [0.0] * len(losses)), *map(float, tokens)]
        bucket = _flatten(parameters, weight, figures)
        self._all_reduce(bucket)
        loss, support, query, total, of_support, of_query = bucket[-len(figures) :].tolist()
        if total == 0:  # no process has a finite task, so there is nothing to combine
            whole = OuterStep(math.nan, math.nan, math.nan, 0, step.reduction)
            return whole, (round(of_support), round(of_query))
        scale = 1.0 if step.reduction == "sum" else 1 / total
        _spread(bucket, parameters, scale)
        whole = OuterStep(loss * scale, support / total, query / total, total, step.reduction)
        return whole, (round(of_support), round(of_query))

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Apply a function to each item; the processes share the work."""
        mine = self.part_of(len(items))
        indices = range(len(items))[mine]
        result = self.collect({index: function(item) for index, item in zip(indices, items[mine], strict=True)})
        return [result[index] for index in range(len(items))]

    def collect(self, parts: dict[int, Item]) -> dict[int, Item]:
        """Return the parts of all processes."""
        if self.size == 1:
            return parts
        gathered: list[Any] = [None] * self.size
        self._barrier()  # waits for the others
        self._guard(lambda: dist.all_gather_object(gathered, parts))
        return {index: item for part in gathered for index, item in part.items()}

    def share(self, make: Callable[[], Item]) -> Item:
        """Return the value that the first process computes."""
        if self.size == 1:
            return make()
        box = [make() if self.is_first else None]
        self._barrier()
        self._guard(lambda: dist.broadcast_object_list(box, src=0))
        made: Any = box[0]
        return made  # type: ignore[no-any-return]

    @contextlib.contextmanager
    def one_first(self) -> Iterator[None]:
        """Let one process on each machine go first, for example to fill the cache for all."""
        if self.size > 1 and self.local_rank > 0:
            self._barrier()
        yield
        if self.size > 1 and self.local_rank == 0:
            self._barrier()

    def _barrier(self) -> None:
        self._all_reduce(torch.zeros(1))

    def _all_reduce(self, tensor: Tensor) -> None:
        def reduce() -> None:
            work: Any = dist.all_reduce(tensor, async_op=True)
            self._wait(work)

        self._guard(reduce)

    def _wait(self, work: Any) -> None:  # noqa: ANN401 - not typed by torch
        """Wait in Python, where signals and failed processes are noticed."""
        pause, looked = 2e-5, time.monotonic()
        while not work.is_completed():
            time.sleep(pause)
            pause = min(2 * pause, 0.01)
            if time.monotonic() - looked > _LOOK_SECONDS:
                self._look()
                looked = time.monotonic()
        work.wait()

    def _guard(self, call: Callable[[], None]) -> None:
        try:
            call()
        except (RuntimeError, OSError) as error:
            raise self._lost(error) from error

    def _look(self) -> None:
        """Raise if another process has failed."""
        if self._store is not None and self._store.check([_FAILED]):
            raise self._lost(None)

    def _lost(self, error: Exception | None) -> LostError:
        # Read at once, while the store still answers.
        with contextlib.suppress(RuntimeError, OSError):
            self._has_heard = self._store is not None and bool(self._store.check([_FAILED]))
        # A signal to all processes may end another one first: let it reach this one too.
        until = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
        reason = "" if error is None else f" ({' '.join(str(error).split())[:200]})"
        return LostError(
            f"another of the {self.size} processes of this run has ended or cannot be reached{reason}; "
            "resume the run from its last checkpoint with resume="
        )


ALONE = Ranks(RankInfo(0, 1, 0))
"""A run in one process."""

_joined = ALONE


def join(here: RankInfo | None) -> Ranks:
    """Join the other processes of this run, for the rest of this process.

    Raises:
        LostError: the others do not join.
    """
    global _joined  # noqa: PLW0603 - a process has one place
    if here is None or _joined is not ALONE:
        return _joined
    meet(os.environ, here)
    try:
        store, _, _ = next(rendezvous("env://", here.rank, here.size, timeout=MEETING))
    except (RuntimeError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise LostError(f"the {here.size} processes of this run do not find each other: {reason}") from error
    _joined = Ranks(here, store)
    return _joined


def ranks() -> Ranks:
    """Return the processes of this run."""
    return _joined


def _flatten(parameters: Sequence[Parameter], weight: float, figures: Sequence[float]) -> Tensor:
    """Concatenate weighted gradients, flags of their presence, and further values, `[numbers]`."""
    dtype = max((p.dtype for p in parameters), key=lambda dtype: torch.finfo(dtype).bits)
    like = torch.empty(0, dtype=dtype, device=parameters[0].device)
    there = [float(p.grad is not None and weight > 0) for p in parameters]
    # Not multiplied by a weight of 0, which would turn infinite values into NaN.
    parts = [
        p.new_zeros(p.numel()) if p.grad is None or weight == 0 else (p.grad * weight).flatten() for p in parameters
    ]
    return torch.cat([*(part.to(like) for part in parts), like.new_tensor([*there, *figures])])


def _spread(bucket: Tensor, parameters: Sequence[Parameter], scale: float) -> None:
    """Set the gradients of the parameters from a bucket; None if no process has one."""
    start = sum(p.numel() for p in parameters)
    there = bucket[start : start + len(parameters)].tolist()
    offset = 0
    for parameter, count in zip(parameters, there, strict=True):
        part = bucket[offset : offset + parameter.numel()]
        parameter.grad = (part * scale).view_as(parameter).to(parameter.dtype) if count else None
        offset += parameter.numel()
