"""Handling of tasks whose loss or gradient is not finite."""

import contextlib
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

import torch
from torch import Tensor, nn

from metadialog.algorithms.base import Algorithm, GradientAlgorithm, OuterStep
from metadialog.episodes import Episode
from metadialog.errors import ConfigError, RunError
from metadialog.escapes import escaped, shortened
from metadialog.text import counted

log = logging.getLogger(__name__)

Policy = Literal["stop", "skip", "shrink"]

HALVINGS = 10
"""Maximum number of times that the inner learning rates are halved for a task before it is left out."""


@dataclass(frozen=True, slots=True)
class _Part:
    """The gradients of some tasks of a meta-batch; None for parameters without one."""

    result: OuterStep
    tasks: int
    gradients: list[Tensor | None]


class Guard:
    """Computes outer steps, and handles tasks whose losses or gradients are not finite.

    Args:
        algorithm: computes the outer gradient.
        trained: all parameters of the optimizer.
        policy: `stop` returns the values unchanged, for the caller to raise an error; `skip` leaves such tasks out of
            the meta-batch; `shrink` halves their inner learning rates until they are finite, and leaves out tasks that
            never are.

    Raises:
        ConfigError: the algorithm cannot compute tasks separately.
    """

    def __init__(self, algorithm: Algorithm, trained: Sequence[nn.Parameter], policy: Policy) -> None:
        if policy == "shrink" and not algorithm.additive:
            raise ConfigError(
                f"training.nan=shrink: algorithm={algorithm.name} weighs the tasks of a meta-batch against each other, "
                "so that they cannot be computed separately; choose training.nan=skip"
            )
        self._algorithm = algorithm
        self._trained = trained
        self._policy = policy

    def outer_step(
        self, model: nn.Module, episodes: Sequence[Episode], step: int, seed: int
    ) -> tuple[OuterStep, Sequence[Episode]]:
        """Put the gradient of a meta-batch into the parameters' `.grad`.

        Args:
            model: as returned by `Algorithm.prepare`.
            episodes: the meta-batch.
            step: number of outer steps taken so far.
            seed: seed of the step's random numbers.

        Returns:
            The losses, and the tasks that they include; if there are none, losses and gradient are as computed.
        """
        torch.manual_seed(seed)
        result = self._algorithm.outer_step(model, episodes, step)
        if self._policy == "stop" or self._is_finite(result):
            return result, episodes
        first = _Part(result, len(episodes), self._gradients())
        parts, kept = self._parts(model, episodes, step, seed)
        self._set([first] if not kept else parts)
        return (first.result, ()) if not kept else (_combined([(part.result, part.tasks) for part in parts]), kept)

    def _parts(
        self, model: nn.Module, episodes: Sequence[Episode], step: int, seed: int
    ) -> tuple[list[_Part], list[Episode]]:
        """Compute the finite tasks together, and each of the others separately."""
        bad = self._bad(model, episodes, step, seed)
        good = [one for one in episodes if not any(one is other for other in bad)]
        together = self._part(model, good, step, seed) if good else None
        parts, kept = ([], []) if together is None else ([together], good)
        for episode in bad:
            where = f"step {step + 1}: {self._described(model, episode)}"
            halved = self._halved(model, episode, step, seed) if self._policy == "shrink" else None
            if halved is None:
                log.warning("%s; the task is left out", where)
                continue
            scale, part = halved
            log.warning("%s; its inner learning rates are multiplied by %g", where, scale)
            parts.append(part)
            kept.append(episode)
        return parts, kept

    def blame(self, model: nn.Module, episodes: Sequence[Episode], step: int, seed: int) -> list[str]:
        """Describe the tasks whose losses or gradients are not finite; see `outer_step`."""
        return [self._described(model, episode) for episode in self._bad(model, episodes, step, seed)]

    def _bad(self, model: nn.Module, episodes: Sequence[Episode], step: int, seed: int) -> list[Episode]:
        return [one for one in episodes if self._part(model, [one], step, seed) is None]

    def _halved(self, model: nn.Module, episode: Episode, step: int, seed: int) -> tuple[float, _Part] | None:
        if not isinstance(self._algorithm, GradientAlgorithm):
            return None
        for power in range(1, HALVINGS + 1):
            with _scaled(self._algorithm, 0.5**power):
                part = self._part(model, [episode], step, seed)
            if part is not None:
                return 0.5**power, part
        return None

    def _part(self, model: nn.Module, episodes: Sequence[Episode], step: int, seed: int) -> _Part | None:
        """Compute some tasks; None if they are not finite."""
        torch.manual_seed(seed)
        result = self._algorithm.outer_step(model, episodes, step)
        return _Part(result, len(episodes), self._gradients()) if self._is_finite(result) else None

    def _is_finite(self, result: OuterStep) -> bool:
        gradients = (parameter.grad for parameter in self._trained if parameter.grad is not None)
        return math.isfinite(result.loss) and all(bool(gradient.isfinite().all()) for gradient in gradients)

    def _gradients(self) -> list[Tensor | None]:
        return [None if parameter.grad is None else parameter.grad.clone() for parameter in self._trained]

    def _set(self, parts: Sequence[_Part]) -> None:
        """Combine the gradients of parts, weighted by their sizes."""
        shares = _shares([(part.result, part.tasks) for part in parts])
        for index, parameter in enumerate(self._trained):
            there = [
                gradient * share
                for part, share in zip(parts, shares, strict=True)
                if (gradient := part.gradients[index]) is not None
            ]
            parameter.grad = sum(there[1:], start=there[0]) if there else None

    def _described(self, model: nn.Module, episode: Episode) -> str:
        """Describe a task by its topic and by its first loss that is not finite."""
        with contextlib.suppress(RuntimeError, NotImplementedError):
            return f"{_name(episode)}: {self._first(model, episode)}"
        return f"{_name(episode)} is not finite"

    def _first(self, model: nn.Module, episode: Episode) -> str:
        algorithm, support = self._algorithm, self._algorithm.adapts_to(episode)
        objectives = algorithm.tools.objectives
        for steps, adapted in enumerate(algorithm.adapt(model, support, algorithm.inner_steps)):
            with torch.no_grad():
                losses = {"query": objectives.outer(adapted, episode.query).item()}
                if support is not None:
                    losses = {"support": objectives.inner(adapted, support).item(), **losses}
            for name, loss in losses.items():
                if not math.isfinite(loss):
                    return f"its {name} loss after {counted(steps, 'inner step')} is {loss}"
        return "its losses are finite, but its outer gradient is not"


@contextlib.contextmanager
def _scaled(algorithm: GradientAlgorithm, factor: float) -> Iterator[None]:
    """Multiply all inner learning rates of an algorithm, including learned ones, within a context."""
    make = algorithm.inner_loop
    algorithm.inner_loop = lambda model, steps, scale=1.0: make(model, steps, scale * factor)  # type: ignore[method-assign]
    try:
        yield
    finally:
        del algorithm.inner_loop


def _name(episode: Episode) -> str:
    return f"task {episode.index} of topic {escaped(shortened(episode.topic, 60))!r}"


def where_not_finite(episodes: Sequence[Episode], losses: Sequence[tuple[float, float]]) -> str:
    """Describe the first held-out task whose loss after adaptation is not finite; empty if all are finite.

    Args:
        episodes: the held-out tasks.
        losses: losses of each task before and after adaptation.
    """
    bad = (one for one, (_, after) in zip(episodes, losses, strict=True) if not math.isfinite(after))
    return "".join(f", not finite in {_name(one)}" for one in islice(bad, 1))


def _shares(parts: Sequence[tuple[OuterStep, int]]) -> list[float]:
    if parts[0][0].reduction == "sum":
        return [1.0] * len(parts)
    sizes = _sizes(parts)
    return [size / sum(sizes) for size in sizes]


def _sizes(parts: Sequence[tuple[OuterStep, int]]) -> list[float]:
    return [tasks if result.size is None else result.size for result, tasks in parts]


def _combined(parts: Sequence[tuple[OuterStep, int]]) -> OuterStep:
    """Combine the losses of parts of a meta-batch."""
    results, sizes, shares = [result for result, _ in parts], _sizes(parts), _shares(parts)

    def mean(values: Sequence[float]) -> float:
        return sum(value * size for value, size in zip(values, sizes, strict=True)) / sum(sizes)

    counted = [result.tokens for result in results if result.tokens is not None]
    return replace(
        results[0],
        loss=sum(result.loss * share for result, share in zip(results, shares, strict=True)),
        support_loss=mean([result.support_loss for result in results]),
        query_loss=mean([result.query_loss for result in results]),
        size=None if results[0].size is None else sum(sizes),
        tokens=(sum(first for first, _ in counted), sum(second for _, second in counted)) if counted else None,
    )


def diverged(step: int, loss: float, norm: float, tasks: Sequence[str]) -> RunError:
    """Return the error of an outer step that is not finite.

    Args:
        step: number of the step, from 1.
        loss: loss of the whole meta-batch.
        norm: norm of its gradient.
        tasks: descriptions of the tasks that are not finite.
    """
    where = f"; {tasks[0]}" if tasks else ""
    return RunError(
        f"training diverged at step {step}: meta-loss {loss}, gradient norm {norm}{where}; lower algorithm.inner_lr or "
        "optimizer.lr, or set training.clip_norm or training.nan"
    )
