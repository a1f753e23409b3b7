"""What the metrics of the records are: how episodes are weighted together, and which way is better."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

Better = Literal["lower", "higher"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A ratio of two sums over episodes, so that several episodes together are not a mean of means.

    Attributes:
        name: what options and files call it.
        label: what tables and figures call it.
        column: the records' column that it is made from.
        digits: after the decimal point in tables; None where sizes vary too much.
        by: the column that weights it in the numerator; None counts every episode once.
        per: the column that the sum of weights is of; None as `by`.
        better: which way is better; None if neither is (then there is no best, and no test).
        scale: what the ratio is multiplied by.
        exponential: the ratio is shown through `exp`, as perplexity is; tests and effects are of the ratio itself.
        unit: of the ratio itself, as effects and differences have it.
    """

    name: str
    label: str
    column: str
    better: Better | None
    digits: int | None
    by: str | None = None
    per: str | None = None
    exponential: bool = False
    unit: str = ""
    scale: float = 1.0

    @property
    def columns(self) -> list[str]:
        """The records' columns that it takes."""
        return [name for name in (self.column, self.by, self.per) if name is not None]

    def parts(self, records: pd.DataFrame) -> pd.DataFrame:
        """Return the columns `total` and `weight` of each record; both are 0 where the metric is not there."""
        value = records[self.column].astype("float64")
        by = records[self.by].astype("float64") if self.by else pd.Series(1.0, records.index)
        per = records[self.per].astype("float64") if self.per else by
        # Records of earlier versions do not hold what some metrics are per.
        value, per = value.where(per.notna()), per.fillna(0.0)
        parts = pd.DataFrame({"total": value * by * self.scale, "weight": per})
        # A loss is reported everywhere: where it is no number, the run has diverged, and that must not be lost.
        if self.column not in _ALWAYS_REPORTED:
            parts[~np.isfinite(value)] = 0.0
        parts[parts["weight"] == 0] = 0.0
        return parts


_ALWAYS_REPORTED = ("loss", "gain", "area")

_ALL = (
    Metric(
        "word_perplexity",
        "word perplexity",
        "loss",
        "lower",
        None,
        "tokens",
        "words",
        exponential=True,
        unit="nats/word",
    ),
    Metric(
        "bits_per_character",
        "bits per character",
        "loss",
        "lower",
        3,
        "tokens",
        "characters",
        unit="bits/character",
        scale=1 / math.log(2),
    ),
    Metric("loss", "loss (nats/token)", "loss", "lower", 3, "tokens", unit="nats/token"),
    Metric("gain", "gain (nats/word)", "gain", "higher", 3, "tokens", "words", unit="nats/word"),
    Metric("area", "area under the curve (nats/word)", "area", "lower", 3, "tokens", "words", unit="nats/word"),
    Metric("token_accuracy", "token accuracy", "token_accuracy", "higher", 3, "tokens"),
    Metric("bleu", "BLEU", "bleu", "higher", 2),
    Metric("chrf", "chrF", "chrf", "higher", 2),
    Metric("rouge_l", "ROUGE-L", "rouge_l", "higher", 3),
    Metric("distinct_1", "distinct-1", "distinct_1", "higher", 3),
    Metric("distinct_2", "distinct-2", "distinct_2", "higher", 3),
    Metric("entropy", "entropy", "entropy", None, 2),
    Metric("length_ratio", "length ratio", "length_ratio", None, 2),
    Metric("repetition", "repetition", "repetition", "lower", 3),
)
METRICS = {metric.name: metric for metric in _ALL}

OWN_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""What a metric of the user's own may be called."""


def with_curve(records: pd.DataFrame) -> pd.DataFrame:
    """Add what an episode's adaptation curve says up to each inner step, nats a token.

    The column `gain` is the loss before adaptation minus the loss after the step; `area` is the area under the curve of
    the losses up to the step (by trapezoids), divided by the number of steps: the mean loss on the way there.

    Args:
        records: with the columns algorithm, seed, topic, episode, shots, inner_step and loss.
    """
    keys = ["algorithm", "seed", "topic", "episode", "shots"]
    ordered = records.sort_values([*keys, "inner_step"])
    curves = ordered.groupby(keys, sort=False)
    width = curves["inner_step"].diff().fillna(0)
    previous = curves["loss"].shift().fillna(0)
    slices = (ordered["loss"] + previous) / 2 * width
    area = slices.groupby([ordered[key] for key in keys], sort=False).cumsum()
    steps = ordered["inner_step"]
    mean = (area / steps.where(steps > 0)).where(steps > 0, ordered["loss"])
    gain = curves["loss"].transform("first") - ordered["loss"]
    return records.assign(gain=gain, area=mean)  # by index


def own_metrics(nodes: Mapping[str, Any]) -> list[Metric]:
    """Return metrics of the user's own, whose values are in columns of their names.

    Args:
        nodes: `evaluation.metrics` of a run; what is no such node is passed over.
    """
    known = [name for name, node in nodes.items() if OWN_NAME.fullmatch(name) and isinstance(node, Mapping)]
    better: dict[object, Better] = {"lower": "lower", "higher": "higher"}
    return [Metric(name, name.replace("_", " "), name, better.get(nodes[name].get("better")), 3) for name in known]


def reported(records: pd.DataFrame, chosen: Iterable[Metric]) -> list[Metric]:
    """Return those of the metrics that the records hold, in the given order."""
    return [metric for metric in chosen if all(_held(records, name) for name in metric.columns)]


def _held(records: pd.DataFrame, column: str) -> bool:
    return column in records and bool(records[column].notna().any())
