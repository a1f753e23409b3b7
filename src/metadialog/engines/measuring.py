"""Which of several engines is fastest on a meta-batch, by trying them."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch.utils._python_dispatch import _disable_current_modes

from metadialog.randomness import random_state, set_random_state

ROUNDS = 3
MARGIN = 1.25
"""How many times as fast as the assumed engine another has to be: what is measured on a busy machine is not exact."""
HOPELESS = 3.0
"""An engine whose first call takes so many times what the fastest one's takes is not tried again."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of it.

    Attributes:
        fastest: the name of the engine to take.
        milliseconds: of each, the shortest of the rounds; of those that were not tried again, of the first call.
    """

    fastest: str
    milliseconds: dict[str, float]

    def __str__(self) -> str:
        """Say it in words, the fastest first."""
        ranked = sorted(self.milliseconds.items(), key=lambda item: item[1])
        return ", ".join(f"{name} {value:.3g} ms" for name, value in ranked)


def measure(
    contenders: Mapping[str, Callable[[], object]],
    assumed: str,
    device: torch.device,
    clock: Callable[[], float] = time.perf_counter,
) -> Measured:
    """Time each contender once, and those that are not hopeless in turns.

    Torch's random numbers go on as if nothing had been computed, and what counts operations counts none of these.

    Args:
        contenders: what to call, by name; one that lacks the memory is left out.
        assumed: the name of the one that is kept unless another is faster by `MARGIN`.
        device: where they compute.
        clock: seconds.
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
            first = _those_that_can(contenders, assumed, seconds)
            limit = HOPELESS * min(first.values())
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


def _those_that_can(
    contenders: Mapping[str, Callable[[], object]], assumed: str, seconds: Callable[[str], float]
) -> dict[str, float]:
    """Return the seconds of the first call of each, without those that fail."""
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
