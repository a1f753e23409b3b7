"""One metric of all algorithms: its means with intervals, and each algorithm against the best of a column."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from metadialog.statistics.bootstrap import Bootstrapped, bootstrap, interval
from metadialog.statistics.metrics import Metric
from metadialog.statistics.paired import Test, compare, holm
from metadialog.statistics.panel import Column, Unit, estimate, make_panel

SCORES = (
    "dataset", "algorithm", "metric", "shots", "inner_step", "mean", "low", "high", "seeds", "topics", "episodes",
    "p_value_vs_best",
)  # fmt: skip
DIFFERENCES = (
    "metric", "shots", "inner_step", "best", "algorithm", "difference", "low", "high", "effect_size", "p_value",
    "p_value_holm",
)  # fmt: skip
BASELINE_DIFFERENCES = (*DIFFERENCES[:3], "baseline", *DIFFERENCES[4:])
TOPICS = ("metric", "topic", "algorithm", "shots", "inner_step", "mean", "low", "high")


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a comparison.

    Attributes:
        resamples: number of bootstrap resamples, and maximum number of permutations.
        confidence: confidence level of the intervals.
        test: test between an algorithm and the best.
        significance: corrected p-values below it count as a difference.
        seed: seed of the draws.
        baseline: algorithm that all others are also compared with; None for the best alone.
    """

    resamples: int
    confidence: float
    test: Test
    significance: float
    seed: int
    baseline: str | None = None


@dataclass(slots=True)
class Against:
    """An algorithm minus another, in a column."""

    column: Column
    other: str
    algorithm: str
    difference: float
    low: float
    high: float
    effect_size: float
    p_value: float
    p_value_holm: float = np.nan


class MetricComparison:
    """One metric of all algorithms."""

    def __init__(
        self,
        records: pd.DataFrame,
        metric: Metric,
        algorithms: Sequence[str],
        units: Sequence[Unit],
        settings: Settings,
    ) -> None:
        self.metric = metric
        self.settings = settings
        self.dataset = str(records["dataset"].iloc[0])
        columns = self._columns(records)
        self.boots: dict[str, Bootstrapped] = {}
        for algorithm in algorithms:
            panel = make_panel(records[records["algorithm"] == algorithm], metric, units, columns).whole()
            self.boots[algorithm] = bootstrap(panel, settings.resamples, settings.seed)
        self.columns = columns
        self.means = {algorithm: estimate(boot.panel) for algorithm, boot in self.boots.items()}
        self.compared = [row for best, group in self._bests().items() for row in self._against(best, group)]

    def scores(self) -> Iterator[tuple[object, ...]]:
        """Yield the rows of `SCORES`."""
        corrected = {(row.algorithm, row.column): row.p_value_holm for row in self.compared}
        for algorithm, boot in self.boots.items():
            low, high = interval(boot, self.settings.confidence)
            for index, column in enumerate(self.columns):
                present = np.asarray(boot.panel.weight[:, :, index] > 0)
                if not present.any():
                    continue
                units = [boot.panel.units[episode] for episode in np.flatnonzero(present.sum(axis=0))]
                values = self._shown(self.means[algorithm][index], low[index], high[index])
                counts = int(present.any(axis=1).sum()), len({topic for topic, _ in units}), len(units)
                p_value = corrected.get((algorithm, column), np.nan)
                yield (self.dataset, algorithm, self.metric.name, *column, *values, *counts, p_value)

    def differences(self) -> Iterator[tuple[object, ...]]:
        """Yield the rows of `DIFFERENCES`."""
        for row in self.compared:
            yield self._difference(row)

    def baseline_differences(self) -> Iterator[tuple[object, ...]]:
        """Yield the rows of `BASELINE_DIFFERENCES`; none without a baseline, or if it lacks the metric."""
        baseline = self.settings.baseline
        if baseline is None:
            return
        for row in self._against(baseline, [column for column in self.columns if self._has(baseline, column)]):
            yield self._difference(row)

    def _difference(self, row: Against) -> tuple[object, ...]:
        return (self.metric.name, *row.column, row.other, *(getattr(row, name) for name in DIFFERENCES[4:]))

    def topics(self, column: Column) -> Iterator[tuple[object, ...]]:
        """Yield the rows of `TOPICS`, for which seeds and the topic's episodes are resampled, but not topics."""
        if column not in self.columns:
            return
        for algorithm, boot in self.boots.items():
            panel = boot.panel.of_columns([column])
            for topic in sorted({topic for topic, _ in panel.units}):
                part = bootstrap(panel.of_topic(topic), self.settings.resamples, self.settings.seed)
                ends = (end[0] for end in interval(part, self.settings.confidence))
                yield (self.metric.name, topic, algorithm, *column, *self._shown(estimate(part.panel)[0], *ends))

    def untested(self) -> Iterator[str]:
        """Yield the algorithms that no test compares with the best of a column."""
        tested = {(row.algorithm, row.column) for row in self.compared if np.isfinite(row.p_value)}
        for best, columns in self._bests().items():
            for position, algorithm in product([self.columns.index(column) for column in columns], self.boots):
                scored = np.isfinite(self.means[algorithm][position])
                if algorithm != best and scored and (algorithm, self.columns[position]) not in tested:
                    yield algorithm

    def _columns(self, records: pd.DataFrame) -> list[Column]:
        """Return the columns in which all seeds of an algorithm have the metric, ignoring repeated records."""
        own = records[(self.metric.parts(records)["weight"] > 0) & ~records["repeated"]]
        seeds = own.groupby(["algorithm", "shots", "inner_step"])["seed"].nunique().reset_index()
        of_algorithm = records.groupby("algorithm")["seed"].nunique()
        whole = seeds[seeds["seed"] == seeds["algorithm"].map(of_algorithm)]
        return sorted(set(zip(whole["shots"].tolist(), whole["inner_step"].tolist(), strict=True)))

    def _bests(self) -> dict[str, list[Column]]:
        """Return the best algorithm of each column: best -> its columns."""
        bests: dict[str, list[Column]] = {}
        if self.metric.better is None:
            return bests
        sign = 1 if self.metric.better == "lower" else -1
        for index, column in enumerate(self.columns):
            finite = {name: sign * mean[index] for name, mean in self.means.items() if np.isfinite(mean[index])}
            if finite:
                bests.setdefault(min(finite, key=finite.__getitem__), []).append(column)
        return bests

    def _against(self, other: str, columns: list[Column]) -> list[Against]:
        """Compare all others with one algorithm in some columns, with p-values corrected within each column."""
        rows: list[Against] = []
        for algorithm in self.boots:
            if algorithm != other:
                common = [column for column in columns if self._has(algorithm, column)]
                rows += self._pair(algorithm, other, common) if common else []
        for column in columns:
            family = [row for row in rows if row.column == column]
            for row, p_value in zip(family, holm(np.array([row.p_value for row in family])), strict=True):
                row.p_value_holm = float(p_value)
        return rows

    def _has(self, algorithm: str, column: Column) -> bool:
        return bool(self.boots[algorithm].panel.weight[:, :, self.columns.index(column)].any())

    def _pair(self, algorithm: str, other: str, columns: list[Column]) -> list[Against]:
        pair = [self.boots[name].of_columns(columns) for name in (algorithm, other)]
        if pair[0].panel.seeds != pair[1].panel.seeds:
            common = sorted(set(pair[0].panel.seeds) & set(pair[1].panel.seeds))
            if not common:
                return []
            panels = [boot.panel.of_seeds(common) for boot in pair]
            pair = [bootstrap(panel, self.settings.resamples, self.settings.seed) for panel in panels]
        rng = np.random.default_rng(self.settings.seed)
        result = compare(pair[0], pair[1], self.settings.test, self.settings.confidence, rng)
        values = (result.value, result.low, result.high, result.effect, result.p_value)
        return [
            Against(column, other, algorithm, *(float(value[index]) for value in values))
            for index, column in enumerate(columns)
        ]

    def _shown(self, *values: float) -> tuple[float, ...]:
        if not self.metric.exponential:
            return values
        with np.errstate(over="ignore"):
            return tuple(float(value) for value in np.exp(np.array(values)))
