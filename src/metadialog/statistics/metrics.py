"""Definitions of the metrics in records: the weighting of episodes, and the better direction."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

Better = Literal["lower", "higher"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric, defined as a ratio of two sums over episodes rather than a mean of means.

    Attributes:
        name: name in options and files.
        label: name in tables and figures.
        column: column of the records that it is computed from.
        digits: number of decimal places in tables; None if magnitudes vary too much.
        by: column of the weights in the numerator; None for equal weights.
        per: column of the weights in the denominator; None for `by`.
        better: whether higher or lower is better; None if neither is, so that there is no best value and no test.
        scale: factor of the ratio.
        exponential: whether `exp` of the ratio is shown, as for perplexity; tests and effects use the ratio.
        unit: unit of the ratio, for effects and differences.
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
        """The columns of the records that it needs."""
        return [name for name in (self.column, self.by, self.per) if name is not None]

    def parts(self, records: "pd.DataFrame") -> "pd.DataFrame":
        """Return the columns `total` and `weight` of each record; both are 0 if the metric is missing."""
        import pandas as pd

        value = records[self.column].astype("float64")
        by = records[self.by].astype("float64") if self.by else pd.Series(1.0, records.index)
        per = records[self.per].astype("float64") if self.per else by
        # Records of earlier versions lack some of the columns.
        value, per = value.where(per.notna()), per.fillna(0.0)
        parts = pd.DataFrame({"total": value * by * self.scale, "weight": per})
        # A loss is reported everywhere: NaN means that the run has diverged, which must be kept.
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
"""Pattern of the names of additional metrics."""


def with_curve(records: "pd.DataFrame") -> "pd.DataFrame":
    """Add the gain and the area under each episode's adaptation curve, nats per token.

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
    """Return the additional metrics, whose values are in columns of their names.

    Args:
        nodes: `evaluation.metrics` of a run; invalid nodes are ignored.
    """
    known = [name for name, node in nodes.items() if OWN_NAME.fullmatch(name) and isinstance(node, Mapping)]
    better: dict[object, Better] = {"lower": "lower", "higher": "higher"}
    return [Metric(name, name.replace("_", " "), name, better.get(nodes[name].get("better")), 3) for name in known]


def reported(records: "pd.DataFrame", chosen: Iterable[Metric]) -> list[Metric]:
    """Return the metrics that the records hold, in the given order."""
    return [metric for metric in chosen if all(_held(records, name) for name in metric.columns)]


def _held(records: "pd.DataFrame", column: str) -> bool:
    return column in records and bool(records[column].notna().any())
