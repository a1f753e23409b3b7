"""The choice of inner rate and number of inner steps at test time, on meta-validation topics, by one rule for all."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from metadialog.algorithms.base import Algorithm
from metadialog.episodes import Episode
from metadialog.evaluation.scoring import evaluation_mode, score


@dataclass(frozen=True, slots=True)
class Measured:
    """A point of the grid.

    Attributes:
        shots: support dialogues.
        rate: what the algorithm's own inner rates were multiplied by.
        inner_step: inner steps.
        loss: mean over the meta-validation episodes of the query loss, nats a token.
    """

    shots: int
    rate: float
    inner_step: int
    loss: float


@dataclass(frozen=True, slots=True)
class Selection:
    """What was chosen, and from what.

    Attributes:
        grid: every point that was measured.
        episodes: meta-validation episodes for each number of shots.
    """

    grid: tuple[Measured, ...]
    episodes: int

    def best(self, shots: int) -> Measured | None:
        """Return the best point for a number of shots; None if none was measured.

        It has the least loss; among equals the fewest steps, then the rate nearest to the algorithm's own.
        """
        points = [point for point in self.grid if point.shots == shots and math.isfinite(point.loss)]
        return min(points, key=lambda point: (point.loss, point.inner_step, abs(math.log(point.rate))), default=None)

    def nearest(self, shots: int) -> Measured | None:
        """Return the best point for the nearest number of shots that was measured; None if none was."""
        counts = sorted({point.shots for point in self.grid}, key=lambda count: (abs(count - shots), count))
        return self.best(counts[0]) if counts else None

    def rate(self, shots: int) -> float:
        """Return what to multiply the inner rates by: 1 where nothing was measured."""
        best = self.best(shots)
        return 1.0 if best is None else best.rate

    def to_json(self, algorithm: str) -> str:
        """Return all of it as JSON: the choice for each number of shots, and the grid behind it."""
        shots = sorted({point.shots for point in self.grid})
        chosen = [asdict(best) for count in shots if (best := self.best(count)) is not None]
        content = {
            "algorithm": algorithm,
            "rule": "least mean query loss over the episodes of the meta-validation topics",
            "episodes": self.episodes,
            "chosen": chosen,
            "grid": [asdict(point) for point in self.grid],
        }
        return json.dumps(content, indent=2) + "\n"


NOTHING = Selection((), 0)
"""Every algorithm at its own rate."""


Curves = Mapping[float, Sequence[float]]
"""By rate, the query loss of one episode after 0, 1, ... inner steps."""


def curves(
    model: nn.Module, algorithm: Algorithm, episode: Episode, rates: Sequence[float], steps: int
) -> dict[float, list[float]]:
    """Measure the grid of rates and steps on one episode.

    Args:
        model: as the outer loop left it.
        algorithm: adapts it.
        episode: of a meta-validation topic.
        rates: what the algorithm's own inner rates are multiplied by.
        steps: the most inner steps.
    """
    support = algorithm.adapts_to(episode)
    with evaluation_mode(model):
        return {
            rate: [score(adapted, episode.query).loss for adapted in algorithm.adapt(model, support, steps, scale=rate)]
            for rate in rates
        }


def select(episodes: Sequence[Episode], measured: Sequence[Curves]) -> Selection:
    """Put the grids of all episodes together.

    Args:
        episodes: of the meta-validation topics, for each number of shots.
        measured: the curves of each of them.
    """
    grid = []
    counts = Counter(episode.shots for episode in episodes)
    for shots in sorted(counts):
        of_shots = [curve for episode, curve in zip(episodes, measured, strict=True) if episode.shots == shots]
        for rate in of_shots[0]:
            for step, losses in enumerate(zip(*(curve[rate] for curve in of_shots), strict=True)):
                grid.append(Measured(shots, rate, step, math.fsum(losses) / len(losses)))
    return Selection(tuple(grid), max(counts.values(), default=0))


def read_selection(path: Path) -> Selection:
    """Read what `Selection.to_json` has written."""
    content: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return Selection(tuple(Measured(**point) for point in content["grid"]), content["episodes"])
