"""Comparison of records: every metric of every algorithm with its interval, and tests between algorithms."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from metadialog.errors import ConfigError
from metadialog.statistics.adequacy import warnings
from metadialog.statistics.metric_comparison import (
    BASELINE_DIFFERENCES,
    DIFFERENCES,
    SCORES,
    TOPICS,
    MetricComparison,
    Settings,
)
from metadialog.statistics.metrics import METRICS, Metric, reported, with_curve
from metadialog.statistics.panel import Column, Unit

CHOSEN = -1
"""Marks the inner step that was chosen on the meta-validation topics, for each algorithm."""

_PER_TOPIC = ("word_perplexity", "gain")


@dataclass(frozen=True, slots=True)
class RecordComparison:
    """The numbers of tables and figures.

    Attributes:
        algorithms: algorithms in the order of the records.
        fixed: algorithms that do not adapt, and score the same after every inner step.
        metrics: metrics in the records.
        scores: one row for each algorithm, metric, shots and inner step (`SCORES`).
        differences: each algorithm minus the best (`DIFFERENCES`).
        baseline_differences: each algorithm minus the baseline (`BASELINE_DIFFERENCES`); empty without one.
        topics: scores of each topic, with the most shots after the last inner step (`TOPICS`).
        warnings: warnings of too few seeds, topics or episodes.
        settings: settings of the comparison.
    """

    algorithms: Sequence[str]
    fixed: Sequence[str]
    metrics: Sequence[Metric]
    scores: pd.DataFrame
    differences: pd.DataFrame
    baseline_differences: pd.DataFrame
    topics: pd.DataFrame
    warnings: Sequence[str]
    settings: Settings


def compare_records(records: pd.DataFrame, settings: Settings, own: Sequence[Metric] = ()) -> RecordComparison:
    """Compare algorithms on the same held-out episodes.

    Args:
        records: records of all runs, as in `adaptation.parquet`: one row for each algorithm, seed, topic, episode,
            shots and inner step.
        settings: settings of the comparison.
        own: additional metrics.

    Raises:
        ConfigError: the baseline does not exist.
    """
    records = with_curve(records)
    algorithms = list(dict.fromkeys(records["algorithm"]))
    if settings.baseline not in (None, *algorithms):
        raise ConfigError(f"baseline={settings.baseline}: no such row; the rows are {', '.join(algorithms)}")
    fixed = _fixed(records)
    records = _with_chosen(_carried(records, fixed))
    metrics = reported(records, (*METRICS.values(), *own))
    units: list[Unit] = sorted(set(zip(records["topic"], records["episode"].tolist(), strict=True)))
    tables = [MetricComparison(records, metric, algorithms, units, settings) for metric in metrics]
    scores = pd.DataFrame([row for table in tables for row in table.scores()], columns=list(SCORES))
    differences = pd.DataFrame([row for table in tables for row in table.differences()], columns=list(DIFFERENCES))
    baseline = [row for table in tables for row in table.baseline_differences()]
    topics = [row for table in tables if table.metric.name in _PER_TOPIC for row in table.topics(last_column(records))]
    episodes_of = pd.Series([topic for topic, _ in units]).value_counts()
    few = warnings(int(records.groupby("algorithm")["seed"].nunique().min()), len(episodes_of), int(episodes_of.min()))
    return RecordComparison(
        algorithms=algorithms,
        fixed=fixed,
        metrics=metrics,
        scores=scores,
        differences=differences,
        baseline_differences=pd.DataFrame(baseline, columns=list(BASELINE_DIFFERENCES)),
        topics=pd.DataFrame(topics, columns=list(TOPICS)),
        warnings=[*few, *_untested(tables)],
        settings=settings,
    )


def last_column(table: pd.DataFrame) -> Column:
    """Return the most shots, and the chosen or else the last inner step with them."""
    shots = int(table["shots"].max())
    steps = table.loc[table["shots"] == shots, "inner_step"]
    return shots, CHOSEN if (steps == CHOSEN).any() else int(steps.max())


def _fixed(records: pd.DataFrame) -> list[str]:
    """Return the algorithms without inner steps, if others have some."""
    steps = records.groupby("algorithm")["inner_step"].max()
    return sorted(steps.index[(steps == 0) & (steps.max() > 0)])


def _carried(records: pd.DataFrame, fixed: Sequence[str]) -> pd.DataFrame:
    """Repeat the records of algorithms that do not adapt for each inner step, as their scores do not change."""
    still = records["algorithm"].isin(fixed)
    columns = records.loc[~still & (records["inner_step"] > 0), ["shots", "inner_step"]].drop_duplicates()
    repeated = records[still].drop(columns="inner_step").merge(columns, on="shots")
    return pd.concat([records.assign(repeated=False), repeated.assign(repeated=True)], ignore_index=True)


def _with_chosen(records: pd.DataFrame) -> pd.DataFrame:
    """Repeat the records at the chosen inner step under `CHOSEN`, if there is one in every run.

    Where a run has at most one inner step, as with the support set in the prompt, there is nothing to choose: its last
    step counts as chosen.
    """
    if "selected" not in records:
        return records
    selected = records["selected"].eq(True)
    adapting = records["shots"] > 0
    if not selected.any():
        return records
    runs = [records[name] for name in ("algorithm", "seed", "shots")]
    last = records["inner_step"].mask(records["repeated"]).groupby(runs).transform("max")
    unchosen = ~selected.groupby(runs).transform("any")
    selected |= unchosen & (last <= 1) & (records["inner_step"] == last)
    if not selected[adapting].groupby([run[adapting] for run in runs]).any().all():
        return records
    chosen = records[selected & ~records["repeated"]].assign(inner_step=CHOSEN)
    return pd.concat([records, chosen], ignore_index=True)


def _untested(tables: Sequence[MetricComparison]) -> list[str]:
    """Return a sentence on untested algorithms, whose missing marks could be misread as significantly worse."""
    results = sorted({algorithm for table in tables for algorithm in table.untested()})
    if not results:
        return []
    names = ", ".join(results)
    why = "with which they share no seed, or a single episode"
    marks = "There a number without a mark is not a significantly worse one."
    return [f"Not tested against the best of every column, {why}: {names}. {marks}"]
