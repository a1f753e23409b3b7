"""Colour-blind readers can tell the colours of rows apart, and rows of one colour have different lines."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from metadialog.reports.looks import COLOURS, looks

# Machado, Oliveira and Fernandes 2009, severity 1: on linear RGB.
SIMULATED = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def seen(colour: str, matrix: list[list[float]]) -> NDArray[np.float64]:
    """Return a colour as seen with a deficiency, in the square root of linear RGB (about perceptually uniform)."""
    linear = np.array(to_rgb(colour)) ** 2.2
    return np.sqrt(np.clip(np.array(matrix) @ linear, 0, 1))


@pytest.mark.parametrize("kind", SIMULATED)
def test_colours_can_be_told_apart(kind: str) -> None:
    for one, other in combinations(COLOURS, 2):
        assert np.linalg.norm(seen(one, SIMULATED[kind]) - seen(other, SIMULATED[kind])) > 0.12, (one, other)


def test_no_two_of_many_rows_look_alike() -> None:
    names = [f"{name}{start}" for name in "abcdefghijkl" for start in ("", "_warm")]
    drawn = looks(names)
    assert len({(look["color"], look["linestyle"]) for look in drawn}) == len(names)
    assert all(drawn[2 * i]["color"] == drawn[2 * i + 1]["color"] for i in range(12))
