"""Records of one metric as arrays: seeds by episodes by columns, and the estimate over them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metadialog.statistics.metrics import Metric

Floats = NDArray[np.float64]
Unit = tuple[str, int]
"""A topic and the number of one of its episodes."""
Column = tuple[int, int]
"""Shots and inner step."""


@dataclass(frozen=True, slots=True)
class Panel:
    """The results of one algorithm; an empty cell has total and weight 0.

    Attributes:
        seeds: S training seeds.
        units: N episodes, the same for every algorithm.
        columns: C pairs of shots and inner step.
        total, weight: (S, N, C).
    """

    seeds: tuple[int, ...]
    units: tuple[Unit, ...]
    columns: tuple[Column, ...]
    total: Floats
    weight: Floats

    @property
    def topics(self) -> NDArray[np.intp]:
        """(N,): the number of each episode's topic, in the order of their names."""
        names = [topic for topic, _ in self.units]
        result: NDArray[np.intp] = np.unique(names, return_inverse=True)[1]
        return result

    def whole(self) -> "Panel":
        """Clear columns that some seeds did not report, as their means would be over a random subset of seeds."""
        kept = (self.weight > 0).any(axis=1).all(axis=0)
        total, weight = (np.where(kept, array, 0.0) for array in (self.total, self.weight))
        return Panel(self.seeds, self.units, self.columns, total, weight)

    def of_seeds(self, seeds: Sequence[int]) -> "Panel":
        """Return the part of some seeds."""
        rows = [self.seeds.index(seed) for seed in seeds]
        return Panel(tuple(seeds), self.units, self.columns, self.total[rows], self.weight[rows])

    def of_topic(self, topic: str) -> "Panel":
        """Return the part of one topic."""
        kept = [position for position, unit in enumerate(self.units) if unit[0] == topic]
        units = tuple(self.units[position] for position in kept)
        return Panel(self.seeds, units, self.columns, self.total[:, kept], self.weight[:, kept])

    def of_columns(self, columns: Sequence[Column]) -> "Panel":
        """Return the part of some columns."""
        positions = [self.columns.index(column) for column in columns]
        return Panel(self.seeds, self.units, tuple(columns), self.total[:, :, positions], self.weight[:, :, positions])


def make_panel(records: pd.DataFrame, metric: Metric, units: Sequence[Unit], columns: Sequence[Column]) -> Panel:
    """Arrange the records of one algorithm.

    Args:
        records: with seed, topic, episode, shots, inner_step, and what the metric needs; one row a cell.
        metric: the metric.
        units: episodes; records of others are ignored.
        columns: pairs of shots and inner step; records of others are ignored.
    """
    seeds = sorted(records["seed"].unique().tolist())
    at = [
        pd.Index(seeds).get_indexer(records["seed"]),
        pd.MultiIndex.from_tuples(units).get_indexer(pd.MultiIndex.from_frame(records[["topic", "episode"]])),
        pd.MultiIndex.from_tuples(columns).get_indexer(pd.MultiIndex.from_frame(records[["shots", "inner_step"]])),
    ]
    inside = np.all([position >= 0 for position in at], axis=0)
    cells = tuple(position[inside] for position in at)
    parts = metric.parts(records)[inside]
    arrays = []
    for name in ("total", "weight"):
        array = np.zeros((len(seeds), len(units), len(columns)))
        array[cells] = parts[name].to_numpy()
        arrays.append(array)
    return Panel(tuple(seeds), tuple(units), tuple(columns), *arrays)


def estimate(panel: Panel) -> Floats:
    """Return (C,): the sum of totals over the sum of weights; NaN if nothing was reported."""
    return divide(panel.total.sum(axis=(0, 1)), panel.weight.sum(axis=(0, 1)))


def residuals(panel: Panel) -> Floats:
    """Return the influence of each cell on the estimate, (S, N, C): (total - estimate * weight) / sum of weights.

    It is the ratio's empirical influence function, which sums to 0 (Davison and Hinkley 1997, section 2.7).
    """
    with np.errstate(invalid="ignore"):
        beyond = panel.total - estimate(panel) * panel.weight
    return divide(beyond, panel.weight.sum(axis=(0, 1)))


def unit_values(panel: Panel) -> Floats:
    """Return (N, C): the metric of each episode over all seeds; NaN if nothing was reported."""
    return divide(panel.total.sum(axis=0), panel.weight.sum(axis=0))


def divide(numerator: Floats, denominator: Floats) -> Floats:
    """Divide, with NaN for a denominator of 0, without warnings."""
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient: Floats = np.where(denominator == 0, np.nan, numerator / denominator)
    return quotient
