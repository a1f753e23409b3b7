r"""The hierarchical bootstrap over seeds, topics and episodes, and intervals from it.

Seeds and topics are crossed (every seed's model is evaluated on the same episodes), and episodes are nested in topics.
A resample therefore draws seeds with replacement and, independently of them, topics; within each drawn topic it draws
episodes (the pigeonhole bootstrap, Owen 2007, "The pigeonhole bootstrap", Annals of Applied Statistics 1(2), with the
two-stage bootstrap of Davison and Hinkley 1997, section 3.8, on one side of it).

The 95 % interval that the quantiles 0.025 and 0.975 make is too short with few seeds or topics. Hesterberg (2015,
"What teachers should know about the bootstrap", The American Statistician 69(4)) takes quantiles further
out: \Phi(-sqrt(n / (n - 1)) t_{n-1}). Here n - 1 are Satterthwaite's (1946) effective degrees of freedom of the
variances due to seeds and to topics. Simulated with 3 seeds and 5 topics, it covers in 87 % (nearly all variance
between seeds) to 98 % (none) of cases, where plain quantiles cover in 78 % to 92 %.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from metadialog.statistics.panel import Column, Floats, Panel, divide, residuals

_CELLS = 4_000_000  # size of intermediate arrays, 32 MB


@dataclass(frozen=True, slots=True)
class Resamples:
    """The counts of each seed and each episode in B resamples.

    Attributes:
        seeds: counts of seeds, (B, S).
        units: counts of episodes, (B, N).
    """

    seeds: Floats
    units: Floats


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    """A panel with its estimate for each resample.

    Attributes:
        panel: panel of S seeds, N episodes and C columns.
        drawn: estimates, (B, C); equal rows belong to equal resamples in panels that were resampled alike.
    """

    panel: Panel
    drawn: Floats

    def of_columns(self, columns: Sequence[Column]) -> "Bootstrapped":
        """Return the part of some columns."""
        positions = [self.panel.columns.index(column) for column in columns]
        return Bootstrapped(self.panel.of_columns(columns), self.drawn[:, positions])


def bootstrap(panel: Panel, resamples: int, seed: int) -> Bootstrapped:
    """Resample a panel; panels of the same seeds and episodes are resampled alike, so that they can be compared.

    Args:
        panel: panel to resample.
        resamples: number of resamples, B.
        seed: seed of the draw.
    """
    drawn = resample(len(panel.seeds), panel.topics, resamples, np.random.default_rng(seed))
    return Bootstrapped(panel, distribution(panel, drawn))


def resample(seeds: int, topics: NDArray[np.intp], resamples: int, rng: np.random.Generator) -> Resamples:
    """Draw seeds, topics, and episodes within topics.

    Args:
        seeds: number of seeds, S.
        topics: topic number of each episode, 0 to T - 1, (N,).
        resamples: number of resamples, B.
        rng: random number generator.
    """
    chosen_seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples)
    count = int(topics.max()) + 1
    chosen_topics = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    units = np.zeros((resamples, len(topics)))
    for topic in range(count):
        (positions,) = np.nonzero(topics == topic)
        # The episodes of a topic that is drawn m times are drawn m times.
        draws = chosen_topics[:, topic] * len(positions)
        units[:, positions] = rng.multinomial(draws, np.full(len(positions), 1 / len(positions)))
    return Resamples(chosen_seeds.astype("float64"), units)


def distribution(panel: Panel, resamples: Resamples) -> Floats:
    """Return (B, C): the estimate from each resample."""
    totals, weights = (_weighted_sums(array, resamples) for array in (panel.total, panel.weight))
    return divide(totals, weights)


def _weighted_sums(array: Floats, resamples: Resamples) -> Floats:
    """Return (B, C): the sums of an (S, N, C) array over seeds and episodes, as often as each was drawn."""
    sums = np.zeros((len(resamples.seeds), array.shape[2]))
    with np.errstate(invalid="ignore"):
        for block in _blocks(len(sums), max(array.shape[1:])):
            for seed, part in enumerate(array):
                sums[block] += resamples.seeds[block, seed, None] * (resamples.units[block] @ part)
    return sums


def _blocks(length: int, width: int) -> Iterator[slice]:
    step = max(1, _CELLS // max(width, 1))
    return (slice(start, start + step) for start in range(0, length, step))


def degrees_of_freedom(moves: Floats, topics: NDArray[np.intp]) -> Floats:
    """Return (C,): Satterthwaite's degrees of freedom of the variance between seeds and between topics.

    With only one topic its episodes are used instead of topics. NaN if there is one of everything.

    Args:
        moves: (S, N, C) residuals of an estimate, or of the difference of two.
        topics: (N,) the number of each episode's topic.
    """
    by_seed = moves.sum(axis=1)
    by_topic = np.zeros((int(topics.max()) + 1, moves.shape[2]))
    np.add.at(by_topic, topics, moves.sum(axis=0))
    levels = [by_seed, by_topic if len(by_topic) > 1 else moves.sum(axis=0)]
    variances = [((level**2).sum(axis=0), len(level) - 1) for level in levels if len(level) > 1]
    whole = sum((variance for variance, _ in variances), np.zeros(moves.shape[2]))
    parts = sum((variance**2 / free for variance, free in variances), np.zeros(moves.shape[2]))
    # Without variance all levels are equivalent, and the smallest is used.
    least = min((free for _, free in variances), default=np.nan)
    return np.where((parts == 0) & (whole == 0), least, divide(whole**2, parts))


def interval(bootstrapped: Bootstrapped, confidence: float) -> tuple[Floats, Floats]:
    """Return the lower and the upper ends (C,) of the expanded percentile interval.

    They are NaN if there is nothing to resample, or the estimate is not finite.
    """
    panel = bootstrapped.panel
    return expanded_quantiles(bootstrapped.drawn, degrees_of_freedom(residuals(panel), panel.topics), confidence)


def expanded_quantiles(drawn: Floats, free: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Return the quantiles (C,) of a (B, C) distribution at Hesterberg's levels, for (C,) degrees of freedom."""
    tail = stats.norm.cdf(-np.sqrt((free + 1) / free) * stats.t.ppf((1 + confidence) / 2, free))
    ends = np.full((2, drawn.shape[1]), np.nan)
    for column in np.flatnonzero(np.isfinite(free)):
        values = drawn[np.isfinite(drawn[:, column]), column]
        if len(values):
            ends[:, column] = np.quantile(values, [tail[column], 1 - tail[column]])
    return ends[0], ends[1]
