"""Tests between two algorithms on the same episodes."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from metadialog.statistics.bootstrap import Bootstrapped, degrees_of_freedom
from metadialog.statistics.panel import Floats, Panel, divide, estimate, residuals, unit_values

Test = Literal["bootstrap", "permute_topics", "permute_episodes"]

_EXACT = 2**16  # maximum number of sign patterns of an exact test


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of two algorithms, all values (C,).

    Attributes:
        value: difference of the metric's ratio (for word perplexity: of its logarithm).
        low, high: the ends of its interval.
        p_value: two-sided.
        effect: Cohen's d_z.
    """

    value: Floats
    low: Floats
    high: Floats
    p_value: Floats
    effect: Floats


def compare(
    first: Bootstrapped, second: Bootstrapped, test: Test, confidence: float, rng: np.random.Generator
) -> Difference:
    """Compare two algorithms, `first - second`.

    Args:
        first: results of one algorithm.
        second: results of another, with the same seeds, episodes, columns and resamples.
        test: `bootstrap` asks whether the difference holds on other seeds, topics and episodes; the permutations ask
            it of these seeds: `permute_topics` on other topics, `permute_episodes` on these topics alone. With few
            topics `permute_topics` is coarse (with 5 its least p-value is 0.0625), and where seeds differ it takes
            their differences for the algorithms': simulated with three seeds that dominate, it rejects 43 to 59 % of
            true null hypotheses at 0.05.
        confidence: confidence level of the interval.
        rng: random number generator of the permutations.

    Raises:
        ValueError: seeds, episodes or columns differ.
    """
    one, other = first.panel, second.panel
    if (one.seeds, one.units, one.columns) != (other.seeds, other.units, other.columns):
        raise ValueError("the panels should have the same seeds, episodes and columns")
    value = estimate(one) - estimate(other)
    drawn = first.drawn - second.drawn
    free = degrees_of_freedom(residuals(one) - residuals(other), one.topics)
    error = standard_error(drawn, free)
    reach = stats.t.ppf((1 + confidence) / 2, free) * error
    if test == "bootstrap":
        p_value = studentized_p_value(value, error, free)
    else:
        groups = one.topics if test == "permute_topics" else np.arange(len(one.units))
        p_value = permutation_p_value(contributions(one) - contributions(other), groups, len(drawn), rng)
    return Difference(value, value - reach, value + reach, p_value, effect_size(one, other))


def standard_error(drawn: Floats, free: Floats) -> Floats:
    """Return (C,) standard errors from a (B, C) bootstrap distribution with (C,) degrees of freedom.

    A bootstrap's is too small by sqrt((n - 1) / n), which is corrected here (Hesterberg 2015).
    """
    with np.errstate(invalid="ignore"):
        error: Floats = drawn.std(axis=0, ddof=1) * np.sqrt(divide(free + 1, free))
    return error


def studentized_p_value(value: Floats, error: Floats, free: Floats) -> Floats:
    """Return (C,) two-sided p-values of differences with these standard errors, by Student's t."""
    # Rounding errors are not variance: algorithms with identical results do not differ.
    same = np.isclose(value, 0, atol=1e-12) & np.isclose(error, 0, atol=1e-12)
    return np.where(same, 1.0, 2 * stats.t.sf(np.abs(divide(value, error)), free))


def contributions(panel: Panel) -> Floats:
    """Return the contributions of episodes to the estimate, which is their sum, (N, C)."""
    return divide(panel.total.sum(axis=0), panel.weight.sum(axis=(0, 1)))


def permutation_p_value(
    differences: Floats, groups: NDArray[np.intp], permutations: int, rng: np.random.Generator
) -> Floats:
    """Return (C,) two-sided p-values of the paired permutation test: in each group the two algorithms may be swapped.

    All patterns of swaps are used if there are few (an exact test); otherwise some are drawn, and the observed one is
    included (Phipson and Smyth 2010).

    Args:
        differences: contributions of episodes to the difference, (N, C).
        groups: group of each episode, 0 to G - 1, (N,); groups are swapped together.
        permutations: maximum number of permutations.
        rng: random number generator.
    """
    count = int(groups.max()) + 1
    sums = np.zeros((count, differences.shape[1]))
    np.add.at(sums, groups, differences)
    exact = 2**count <= max(permutations, 2) or 2**count <= _EXACT
    signs = _all_signs(count) if exact else rng.choice([-1.0, 1.0], size=(permutations, count))
    observed = np.abs(sums.sum(axis=0))
    # A pattern that reproduces the observed value must count in spite of rounding.
    reached = np.abs(signs @ sums) >= observed - 1e-9 * np.abs(sums).sum(axis=0)
    times = reached.sum(axis=0).astype("float64")
    p_value: Floats = times / len(signs) if exact else (times + 1) / (permutations + 1)
    return np.where(np.isfinite(observed), p_value, np.nan)


def _all_signs(count: int) -> Floats:
    patterns = np.arange(2**count)[:, None] >> np.arange(count) & 1
    signs: Floats = np.where(patterns, -1.0, 1.0)
    return signs


def effect_size(first: Panel, second: Panel) -> Floats:
    """Return (C,) Cohen's d_z: the mean of the paired differences over their standard deviation.

    A pair is an episode, over all seeds. See Lakens (2013), "Calculating and reporting effect sizes", Frontiers in
    Psychology 4:863. It is 0 without any difference, and NaN with fewer than two pairs.
    """
    differences = unit_values(first) - unit_values(second)
    effects = np.full(differences.shape[1], np.nan)
    for column, values in enumerate(differences.T):
        pairs = values[np.isfinite(values)]
        if len(pairs) > 1:
            mean, spread = pairs.mean(), pairs.std(ddof=1)
            effects[column] = 0.0 if mean == spread == 0 else divide(mean, spread)
    return effects


def holm(p_values: Floats) -> Floats:
    """Return adjusted p-values that keep the chance of any false positive below the level (Holm 1979).

    The smallest of m p-values is multiplied by m, the next by m - 1, and so on; none may be below one before it,
    and none above 1.

    Args:
        p_values: p-values, (m,); NaN marks a missing test, which stays NaN and is not counted.
    """
    adjusted = np.full(len(p_values), np.nan)
    (tests,) = np.nonzero(~np.isnan(p_values))
    order = tests[np.argsort(p_values[tests], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p_values[order] * factors))
    return adjusted
