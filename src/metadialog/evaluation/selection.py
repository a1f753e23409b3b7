"""The choice of the inner rate and the number of inner steps for test time on the meta-validation topics."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

from torch import nn

from metadialog.algorithms.base import Algorithm
from metadialog.episodes import Episode
from metadialog.evaluation.protocol import Average
from metadialog.evaluation.scoring import evaluation_mode
from metadialog.evaluation.together import Each, in_groups, step_losses
from metadialog.runs import schemas


@dataclass(frozen=True, slots=True)
class Measured:
    """A point of the grid.

    Attributes:
        shots: number of support dialogues.
        rate: factor of the algorithm's inner rates.
        inner_step: number of inner steps.
        loss: query loss, mean over the meta-validation episodes or over their tokens, nats per token.
    """

    shots: int
    rate: float
    inner_step: int
    loss: float


@dataclass(frozen=True, slots=True)
class Selection:
    """The measured grid, and the best points of it.

    Attributes:
        grid: all measured points.
        episodes: number of meta-validation episodes for each number of shots.
        average: whether losses are means over episodes or over tokens.
    """

    grid: tuple[Measured, ...]
    episodes: int
    average: Average = "episodes"

    def best(self, shots: int) -> Measured | None:
        """Return the best point for a number of shots; None if none was measured.

        It has the lowest loss; ties are resolved by the fewest steps, then by the rate nearest to the algorithm's own.
        """
        points = [point for point in self.grid if point.shots == shots and math.isfinite(point.loss)]
        return min(points, key=lambda point: (point.loss, point.inner_step, abs(math.log(point.rate))), default=None)

    def nearest(self, shots: int) -> Measured | None:
        """Return the best point for the nearest measured number of shots; None if there is none."""
        counts = sorted({point.shots for point in self.grid}, key=lambda count: (abs(count - shots), count))
        return self.best(counts[0]) if counts else None

    def rate(self, shots: int) -> float:
        """Return the factor of the inner rates: 1 if nothing was measured."""
        best = self.best(shots)
        return 1.0 if best is None else best.rate

    def to_json(self, algorithm: str) -> str:
        """Return the choice for each number of shots and the grid as JSON."""
        shots = sorted({point.shots for point in self.grid})
        chosen = [asdict(best) for count in shots if (best := self.best(count)) is not None]
        content = {
            "algorithm": algorithm,
            "rule": f"least mean query loss over the {self.average} of the meta-validation topics",
            "average": self.average,
            "episodes": self.episodes,
            "chosen": chosen,
            "grid": [asdict(point) for point in self.grid],
        }
        return json.dumps(content, indent=2) + "\n"


NOTHING = Selection((), 0)
"""No choice: every algorithm has its own rate."""


Curves = list[list[float]]
"""Losses of one episode after each number of inner steps, for each rate."""


def select(
    model: nn.Module,
    algorithm: Algorithm,
    episodes: Sequence[Episode],
    rates: Sequence[float],
    steps: int,
    each: Each[Curves] | None = None,
    average: Average = "episodes",
) -> Selection:
    """Measure the grid of rates and steps.

    Args:
        model: the trained model.
        algorithm: adapts it.
        episodes: episodes of the meta-validation topics, for each number of shots.
        rates: factors of the algorithm's inner rates.
        steps: maximum number of inner steps.
        each: maps a function over groups of episodes; None to process them one after another.
        average: whether to average over episodes, with equal weights, or over their counted tokens.
    """
    with evaluation_mode(model):
        measured = in_groups(model, episodes, lambda some: _curves(model, algorithm, some, rates, steps), each)
    grid = []
    counts: set[int] = set()
    by_shots = sorted(zip(episodes, measured, strict=True), key=lambda pair: pair[0].shots)
    for shots, group in groupby(by_shots, key=lambda pair: pair[0].shots):
        drawn, of_shots = zip(*group, strict=True)
        counts.add(len(of_shots))
        weights = [1 if average == "episodes" else int(episode.query.mask.sum()) for episode in drawn]
        for index, rate in enumerate(rates):
            for step, losses in enumerate(zip(*(curves[index] for curves in of_shots), strict=True)):
                total = math.fsum(weight * loss for weight, loss in zip(weights, losses, strict=True))
                grid.append(Measured(shots, rate, step, total / sum(weights)))
    return Selection(tuple(grid), max(counts, default=0), average)


def _curves(
    model: nn.Module, algorithm: Algorithm, episodes: Sequence[Episode], rates: Sequence[float], steps: int
) -> list[Curves]:
    """Return the curves of each episode."""
    of_rates = [step_losses(model, algorithm, episodes, steps, rate) for rate in rates]
    return [list(of_episode) for of_episode in zip(*of_rates, strict=True)]


def read_selection(path: Path) -> Selection:
    """Read a file written by `Selection.to_json`.

    Raises:
        RunError: the file is damaged.
    """
    content = schemas.read_selection(path)
    return Selection(tuple(Measured(**point.model_dump()) for point in content.grid), content.episodes, content.average)
