"""Line styles of algorithms; variants of an algorithm with different starts share a colour."""

import re
from collections.abc import Sequence
from typing import Any

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Okabe and Ito (2008), without their yellow."""
LINES = ("-", "--", ":", "-.")
MARKERS = "osD^vP*X<>"

_START = re.compile(r"^(?:warm|cold)_|_(?:warm|cold)$")


def family(algorithm: str) -> str:
    """Return the name of a row without the suffix of its start, such as `maml` for `maml_warm`."""
    return _START.sub("", algorithm) or algorithm


def looks(algorithms: Sequence[str]) -> list[dict[str, Any]]:
    """Return colour, line style and marker of each algorithm; up to 28 combinations of colour and line are distinct."""
    families = list(dict.fromkeys(map(family, algorithms)))
    used: set[tuple[str, str]] = set()
    results = []
    for name in algorithms:
        position = families.index(family(name))
        colour = COLOURS[position % len(COLOURS)]
        lines = [LINES[(position + shift) % len(LINES)] for shift in range(len(LINES))]
        line = next((one for one in lines if (colour, one) not in used), lines[0])
        used.add((colour, line))
        results.append({"color": colour, "linestyle": line, "marker": MARKERS[position % len(MARKERS)]})
    return results
