"""Times several engines on a meta-batch to find the fastest one."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch.utils._python_dispatch import _disable_current_modes

from metadialog.randomness import random_state, set_random_state

ROUNDS = 3
MARGIN = 1.25
"""Minimum speedup over the assumed engine for another one to be chosen, as timings on a busy machine are inexact."""
TOO_SLOW = 3.0
"""An engine whose first call takes this many times as long as the fastest one's is not timed again."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Measured:
    """The result of a measurement.

    Attributes:
        fastest: name of the chosen engine.
        milliseconds: shortest time of each engine over the rounds; time of the first call of those not timed again.
    """

    fastest: str
    milliseconds: dict[str, float]

    def __str__(self) -> str:
        """Return the times in words, fastest first."""
        ranked = sorted(self.milliseconds.items(), key=lambda item: item[1])
        return ", ".join(f"{name} {value:.3g} ms" for name, value in ranked)


def measure(
    contenders: Mapping[str, Callable[[], object]],
    assumed: str,
    device: torch.device,
    clock: Callable[[], float] = time.perf_counter,
) -> Measured:
    """Time each contender once, and then, in turns, those that are not far slower than the fastest.

    The state of torch's random numbers is restored afterwards, and operation counters do not see these calls.

    Args:
        contenders: functions to call, by name; one that runs out of memory is left out.
        assumed: name of the contender that is kept unless another is faster by `MARGIN`.
        device: the device that they compute on.
        clock: returns the time in seconds.
    """

    def seconds(name: str) -> float:
        set_random_state(state)
        _finish(device)
        began = clock()
        contenders[name]()
        _finish(device)
        return clock() - began

    state = random_state()
    try:
        with _disable_current_modes():
            first = _first_calls(contenders, assumed, seconds)
            limit = TOO_SLOW * min(first.values())
            left = [name for name, taken in first.items() if name == assumed or taken <= limit]
            times = {name: [] for name in left} if len(left) > 1 else {}  # type: dict[str, list[float]]
            for _ in range(ROUNDS):
                for name, taken in times.items():
                    taken.append(seconds(name))
    finally:
        set_random_state(state)
    best = {**first, **{name: min(taken) for name, taken in times.items()}}
    among = times or [assumed]
    fastest = min(among, key=lambda name: best[name])
    kept = fastest if best[assumed] > MARGIN * best[fastest] else assumed
    return Measured(kept, {name: 1000 * value for name, value in best.items()})


def _first_calls(
    contenders: Mapping[str, Callable[[], object]], assumed: str, seconds: Callable[[str], float]
) -> dict[str, float]:
    """Return the seconds of the first call of each contender that does not fail."""
    first: dict[str, float] = {}
    for name in contenders:
        try:
            first[name] = seconds(name)
        except (RuntimeError, MemoryError) as error:
            if name == assumed:
                raise
            _log.info("engine auto leaves %s out: %s", name, " ".join(str(error).split())[:200])
    return first


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
