"""From runs to numbers: every metric of every algorithm with its interval, and the tests against the best."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from metadialog.errors import ConfigError
from metadialog.reports.comparable import check_comparable, row_differences
from metadialog.reports.runs import Run
from metadialog.statistics.adequacy import warnings
from metadialog.statistics.bootstrap import Bootstrapped, bootstrap, interval
from metadialog.statistics.holm import holm
from metadialog.statistics.metrics import Metric, reported, with_curve
from metadialog.statistics.paired import Test, compare
from metadialog.statistics.panel import Column, Unit, estimate, make_panel

SCORES = (
    "dataset", "algorithm", "metric", "shots", "inner_step", "mean", "low", "high", "seeds", "topics", "episodes",
    "p_value_vs_best",
)  # fmt: skip
DIFFERENCES = (
    "metric", "shots", "inner_step", "best", "algorithm", "difference", "low", "high", "effect_size", "p_value",
    "p_value_holm",
)  # fmt: skip
TOPICS = ("metric", "topic", "algorithm", "shots", "inner_step", "mean", "low", "high")

CHOSEN = -1
"""Stands for the inner step that was chosen on the meta-validation topics, of each algorithm its own."""

_PER_TOPIC = ("word_perplexity", "gain")


@dataclass(frozen=True, slots=True)
class Settings:
    """How to compare.

    Attributes:
        resamples: of the bootstrap, and permutations at most.
        confidence: of the intervals.
        test: between an algorithm and the best.
        significance: a corrected p-value below it is a difference.
        seed: of the draws.
    """

    resamples: int
    confidence: float
    test: Test
    significance: float
    seed: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """All numbers behind tables and figures.

    Attributes:
        runs: what was compared.
        algorithms: the rows, in the order of the runs.
        fixed: those of them that do not adapt, and score the same after every inner step.
        metrics: what the records hold.
        scores: one row for each algorithm, metric, shots and inner step (`SCORES`).
        differences: each algorithm minus the best, likewise (`DIFFERENCES`).
        topics: the scores of each topic, with the most shots after the last inner step (`TOPICS`).
        warnings: where seeds, topics or episodes are too few.
        varied: options in which the rows differ beyond their algorithms, option -> algorithm -> value.
        settings: how it was compared.
    """

    runs: Sequence[Run]
    algorithms: Sequence[str]
    fixed: Sequence[str]
    metrics: Sequence[Metric]
    scores: pd.DataFrame
    differences: pd.DataFrame
    topics: pd.DataFrame
    warnings: Sequence[str]
    varied: Mapping[str, Mapping[str, str]]
    settings: Settings

    @property
    def dataset(self) -> str:
        """What the data set is called."""
        return str(self.scores["dataset"].iloc[0])

    @property
    def last(self) -> Column:
        """The most shots, and the chosen inner step with them; where none was chosen, the last."""
        return _last(self.scores)

    @property
    def last_words(self) -> str:
        """The same in words."""
        shots, step = self.last
        after = "at the chosen step" if step == CHOSEN else f"after {step} inner step{'' if step == 1 else 's'}"
        return f"{shots} shot{'' if shots == 1 else 's'}, {after}"

    @property
    def chosen(self) -> pd.DataFrame:
        """What was chosen on the meta-validation topics: algorithm, seed, shots, inner_step, rate; may be empty."""
        records = pd.concat([run.records for run in self.runs], ignore_index=True)
        if CHOSEN not in set(self.scores["inner_step"]):
            return pd.DataFrame()
        columns = ["algorithm", "seed", "shots", "inner_step", "rate"]
        return records.loc[records["selected"].astype(bool), columns].drop_duplicates()


def _last(table: pd.DataFrame) -> Column:
    shots = int(table["shots"].max())
    steps = table.loc[table["shots"] == shots, "inner_step"]
    return shots, CHOSEN if (steps == CHOSEN).any() else int(steps.max())


def compare_runs(runs: Sequence[Run], settings: Settings) -> Comparison:
    """Compare runs.

    Raises:
        RunError: they are not comparable.
    """
    check_comparable(runs)
    records = with_curve(pd.concat([run.records for run in runs], ignore_index=True))
    algorithms = list(dict.fromkeys(run.algorithm for run in runs))
    fixed = _fixed(records)
    records = _with_chosen(_carried(records, fixed))
    metrics = reported(records)
    units: list[Unit] = sorted(set(zip(records["topic"], records["episode"].tolist(), strict=True)))
    tables = [_Table(records, metric, algorithms, units, settings) for metric in metrics]
    scores = pd.DataFrame([row for table in tables for row in table.scores()], columns=list(SCORES))
    differences = pd.DataFrame([row for table in tables for row in table.differences()], columns=list(DIFFERENCES))
    topics = [row for table in tables if table.metric.name in _PER_TOPIC for row in table.topics(_last(records))]
    episodes_of = pd.Series([topic for topic, _ in units]).value_counts()
    few = warnings(int(records.groupby("algorithm")["seed"].nunique().min()), len(episodes_of), int(episodes_of.min()))
    return Comparison(
        runs=runs,
        algorithms=algorithms,
        fixed=fixed,
        metrics=metrics,
        scores=scores,
        differences=differences,
        topics=pd.DataFrame(topics, columns=list(TOPICS)),
        warnings=[*few, *_untested(tables)],
        varied=row_differences(runs),
        settings=settings,
    )


def chosen_metrics(comparison: Comparison, names: Sequence[str]) -> list[Metric]:
    """Return the metrics that were asked for.

    Raises:
        ConfigError: the records do not hold one of them.
    """
    held = {metric.name: metric for metric in comparison.metrics}
    missing = [name for name in names if name not in held]
    if missing:
        raise ConfigError(f"metrics: the records hold no {', '.join(missing)}; they hold {', '.join(held)}")
    return [held[name] for name in dict.fromkeys(names)]


def _fixed(records: pd.DataFrame) -> list[str]:
    """Return the algorithms that have no inner step where others have some."""
    steps = records.groupby("algorithm")["inner_step"].max()
    return sorted(steps.index[(steps == 0) & (steps.max() > 0)])


def _carried(records: pd.DataFrame, fixed: Sequence[str]) -> pd.DataFrame:
    """Repeat what does not adapt for each inner step: as it does not change, it scores the same after all of them."""
    still = records["algorithm"].isin(fixed)
    columns = records.loc[~still & (records["inner_step"] > 0), ["shots", "inner_step"]].drop_duplicates()
    repeated = records[still].drop(columns="inner_step").merge(columns, on="shots")
    return pd.concat([records.assign(repeated=False), repeated.assign(repeated=True)], ignore_index=True)


def _with_chosen(records: pd.DataFrame) -> pd.DataFrame:
    """Repeat what was scored at the chosen inner step under `CHOSEN`, if one was chosen in every run."""
    if "selected" not in records:
        return records
    selected = records["selected"].eq(True)
    adapting = records["shots"] > 0
    runs = ["algorithm", "seed", "shots"]
    if not selected[adapting].groupby([records[name] for name in runs]).any().all() or not selected.any():
        return records
    chosen = records[selected & ~records["repeated"]].assign(inner_step=CHOSEN)
    return pd.concat([records, chosen], ignore_index=True)


@dataclass(slots=True)
class _Compared:
    """An algorithm minus the best of a column."""

    column: Column
    best: str
    algorithm: str
    difference: float
    low: float
    high: float
    effect_size: float
    p_value: float
    p_value_holm: float = np.nan


class _Table:
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
            for place, column in enumerate(self.columns):
                present = np.asarray(boot.panel.weight[:, :, place] > 0)
                if not present.any():
                    continue
                units = [boot.panel.units[episode] for episode in np.flatnonzero(present.sum(axis=0))]
                values = self._shown(self.means[algorithm][place], low[place], high[place])
                counts = int(present.any(axis=1).sum()), len({topic for topic, _ in units}), len(units)
                p_value = corrected.get((algorithm, column), np.nan)
                yield (self.dataset, algorithm, self.metric.name, *column, *values, *counts, p_value)

    def differences(self) -> Iterator[tuple[object, ...]]:
        """Yield the rows of `DIFFERENCES`."""
        for row in self.compared:
            yield (self.metric.name, *row.column, *(getattr(row, name) for name in DIFFERENCES[3:]))

    def topics(self, column: Column) -> Iterator[tuple[object, ...]]:
        """Yield the rows of `TOPICS`: seeds and the topic's episodes are resampled, and no topics."""
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
            for place, algorithm in product([self.columns.index(column) for column in columns], self.boots):
                scored = np.isfinite(self.means[algorithm][place])
                if algorithm != best and scored and (algorithm, self.columns[place]) not in tested:
                    yield algorithm

    def _columns(self, records: pd.DataFrame) -> list[Column]:
        """Return where all seeds of an algorithm have the metric, in order; what was repeated does not add to them."""
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
        for place, column in enumerate(self.columns):
            finite = {name: sign * mean[place] for name, mean in self.means.items() if np.isfinite(mean[place])}
            if finite:
                bests.setdefault(min(finite, key=finite.__getitem__), []).append(column)
        return bests

    def _against(self, best: str, columns: list[Column]) -> list[_Compared]:
        """Compare all others with the best, in the columns where it is the best; corrected within each column."""
        rows: list[_Compared] = []
        for algorithm in self.boots:
            if algorithm != best:
                common = [column for column in columns if self._has(algorithm, column)]
                rows += self._pair(algorithm, best, common) if common else []
        for column in columns:
            family = [row for row in rows if row.column == column]
            for row, p_value in zip(family, holm(np.array([row.p_value for row in family])), strict=True):
                row.p_value_holm = float(p_value)
        return rows

    def _has(self, algorithm: str, column: Column) -> bool:
        return bool(self.boots[algorithm].panel.weight[:, :, self.columns.index(column)].any())

    def _pair(self, algorithm: str, best: str, columns: list[Column]) -> list[_Compared]:
        pair = [self.boots[name].of_columns(columns) for name in (algorithm, best)]
        if pair[0].panel.seeds != pair[1].panel.seeds:
            common = sorted(set(pair[0].panel.seeds) & set(pair[1].panel.seeds))
            if not common:
                return []
            panels = [boot.panel.of_seeds(common) for boot in pair]
            pair = [bootstrap(panel, self.settings.resamples, self.settings.seed) for panel in panels]
        rng = np.random.default_rng(self.settings.seed)
        found = compare(pair[0], pair[1], self.settings.test, self.settings.confidence, rng)
        values = (found.value, found.low, found.high, found.effect, found.p_value)
        return [
            _Compared(column, best, algorithm, *(float(value[place]) for value in values))
            for place, column in enumerate(columns)
        ]

    def _shown(self, *values: float) -> tuple[float, ...]:
        if not self.metric.exponential:
            return values
        with np.errstate(over="ignore"):
            return tuple(float(value) for value in np.exp(np.array(values)))


def _untested(tables: Sequence[_Table]) -> list[str]:
    """Return a sentence on algorithms that are not tested: what has no mark would pass for significantly worse."""
    found = sorted({algorithm for table in tables for algorithm in table.untested()})
    if not found:
        return []
    names = ", ".join(found)
    why = "with which they share no seed, or a single episode"
    marks = "There a number without a mark is not a significantly worse one."
    return [f"Not tested against the best of every column, {why}: {names}. {marks}"]
