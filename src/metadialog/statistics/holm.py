"""Holm's correction for several tests."""

import numpy as np

from metadialog.statistics.panel import Floats


def holm(p_values: Floats) -> Floats:
    """Return adjusted p-values that keep the chance of any false positive below the level (Holm 1979).

    The smallest of m p-values is multiplied by m, the next by m - 1, and so on; none may be below one before it,
    and none above 1.

    Args:
        p_values: (m,); those that are NaN are no tests: they stay NaN and are not counted.
    """
    adjusted = np.full(len(p_values), np.nan)
    (tests,) = np.nonzero(~np.isnan(p_values))
    order = tests[np.argsort(p_values[tests], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p_values[order] * factors))
    return adjusted
