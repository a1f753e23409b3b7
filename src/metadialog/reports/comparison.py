"""Comparison of runs: the numbers over their records, and information about the runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import pandas as pd

from metadialog.errors import ConfigError
from metadialog.reports.comparable import check_comparable, row_differences
from metadialog.reports.folds import pool_folds
from metadialog.reports.runs import Run
from metadialog.statistics.comparison import CHOSEN, RecordComparison, compare_records, last_column
from metadialog.statistics.metric_comparison import Settings
from metadialog.statistics.metrics import Metric
from metadialog.statistics.panel import Column
from metadialog.text import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison(RecordComparison):
    """A comparison with its runs.

    Attributes:
        runs: the compared runs.
        varied: options in which the rows differ beyond their algorithms, option -> algorithm -> value.
    """

    runs: Sequence[Run]
    varied: Mapping[str, Mapping[str, str]]

    @property
    def dataset(self) -> str:
        """The name of the data set."""
        return str(self.scores["dataset"].iloc[0])

    @property
    def last(self) -> Column:
        """The most shots, and the chosen or else the last inner step with them."""
        return last_column(self.scores)

    @property
    def last_words(self) -> str:
        """A description of `last`."""
        shots, step = self.last
        after = "at the chosen step" if step == CHOSEN else f"after {counted(step, 'inner step')}"
        return f"{counted(shots, 'shot')}, {after}"

    @property
    def chosen(self) -> pd.DataFrame:
        """The choices on the meta-validation topics: algorithm, seed, shots, inner_step, rate; may be empty."""
        records = pd.concat([run.records for run in self.runs], ignore_index=True)
        if CHOSEN not in set(self.scores["inner_step"]):
            return pd.DataFrame()
        columns = ["algorithm", "seed", "shots", "inner_step", "rate"]
        return records.loc[records["selected"].astype(bool), columns].drop_duplicates()


def compare_runs(runs: Sequence[Run], settings: Settings) -> Comparison:
    """Compare runs.

    Raises:
        RunError: they are not comparable.
    """
    runs = pool_folds(runs)
    check_comparable(runs)
    own = {metric.name: metric for run in runs for metric in run.own_metrics}
    records = pd.concat([run.records for run in runs], ignore_index=True)
    result = compare_records(records, settings, list(own.values()))
    numbers = {field.name: getattr(result, field.name) for field in fields(result)}
    return Comparison(runs=runs, varied=row_differences(runs), **numbers)


def chosen_metrics(comparison: Comparison, names: Sequence[str]) -> list[Metric]:
    """Return the requested metrics.

    Raises:
        ConfigError: the records do not hold one of them.
    """
    held = {metric.name: metric for metric in comparison.metrics}
    missing = [name for name in names if name not in held]
    if missing:
        raise ConfigError(f"metrics: the records hold no {', '.join(missing)}; they hold {', '.join(held)}")
    return [held[name] for name in dict.fromkeys(names)]
