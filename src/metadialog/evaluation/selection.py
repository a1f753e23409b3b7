"""The choice of inner rate and number of inner steps at test time, on meta-validation topics, by one rule for all."""

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
from metadialog.evaluation.scoring import evaluation_mode, score
from metadialog.evaluation.together import Each, adapted_together, in_groups, scores, together_or_alone
from metadialog.runs import schemas


@dataclass(frozen=True, slots=True)
class Measured:
    """A point of the grid.

    Attributes:
        shots: support dialogues.
        rate: what the algorithm's own inner rates were multiplied by.
        inner_step: inner steps.
        loss: mean of the query loss over the meta-validation episodes, or over their tokens, nats a token.
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
        average: whether losses are means over episodes or over tokens.
    """

    grid: tuple[Measured, ...]
    episodes: int
    average: Average = "episodes"

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
            "rule": f"least mean query loss over the {self.average} of the meta-validation topics",
            "average": self.average,
            "episodes": self.episodes,
            "chosen": chosen,
            "grid": [asdict(point) for point in self.grid],
        }
        return json.dumps(content, indent=2) + "\n"


NOTHING = Selection((), 0)
"""Every algorithm at its own rate."""


Curves = list[list[float]]
"""Of one episode: for each rate, the loss after each number of inner steps."""


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
        model: as the outer loop left it.
        algorithm: adapts it.
        episodes: of the meta-validation topics, for each number of shots.
        rates: what the algorithm's own inner rates are multiplied by.
        steps: the most inner steps.
        each: how groups of episodes are gone through; None: one after another.
        average: over episodes, each counting alike, or over their counted tokens.
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
    def together(some: Sequence[Episode]) -> list[Curves]:
        of_rates = []
        for rate in rates:
            stages = [scores(models, some) for models in adapted_together(model, algorithm, some, steps, rate)]
            of_rates.append([[scored.loss for scored in of_episode] for of_episode in zip(*stages, strict=True)])
        return [list(of_episode) for of_episode in zip(*of_rates, strict=True)]

    def alone(episode: Episode) -> Curves:
        return [_curve(model, algorithm, episode, rate, steps) for rate in rates]

    return together_or_alone(model, algorithm, episodes, together, alone)


def _curve(model: nn.Module, algorithm: Algorithm, episode: Episode, rate: float, steps: int) -> list[float]:
    support = algorithm.adapts_to(episode)
    return [score(adapted, episode.query).loss for adapted in algorithm.adapt(model, support, steps, scale=rate)]


def read_selection(path: Path) -> Selection:
    """Read what `Selection.to_json` has written.

    Raises:
        RunError: the file is damaged.
    """
    content = schemas.read_selection(path)
    return Selection(tuple(Measured(**point.model_dump()) for point in content.grid), content.episodes, content.average)
