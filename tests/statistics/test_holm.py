"""Holm's correction, compared with known values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metadialog.statistics.paired import holm


def test_known_values() -> None:
    # By hand: 4 times 0.005, 3 times 0.01, 2 times 0.03, and no less than that for 0.04.
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    # 3 times 0.02, 2 times 0.5, and no less for 0.9.
    assert holm(np.array([0.5, 0.9, 0.02])) == pytest.approx([1.0, 1.0, 0.06])


def test_one_test_is_not_corrected() -> None:
    assert holm(np.array([0.03])) == pytest.approx([0.03])
    assert len(holm(np.array([]))) == 0


def test_what_was_not_tested_does_not_count() -> None:
    found = holm(np.array([0.02, np.nan, 0.01]))
    assert np.isnan(found[1])
    assert found[[0, 2]] == pytest.approx([0.02, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_it_lies_between_no_correction_and_bonferronis(values: list[float]) -> None:
    p_values = np.array(values)
    found = holm(p_values)
    assert (found >= p_values - 1e-15).all()
    assert (found <= np.minimum(1, p_values * len(values)) + 1e-15).all()
    order = np.random.default_rng(len(values)).permutation(len(values))
    assert holm(p_values[order]) == pytest.approx(found[order])
    assert (np.diff(found[np.argsort(p_values, kind="stable")]) >= 0).all()
