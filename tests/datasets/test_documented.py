"""The tables in docs/data.md list all data sets and formats."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

from metadialog.datasets.formats.detection import FORMATS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tables() -> dict[str, set[str]]:
    """Return the names in the first column of each table, by its heading."""
    heading, names = "", dict[str, set[str]]()
    lines = ["", *(ROOT / "docs" / "data.md").read_text("utf-8").splitlines()]
    for before, line in pairwise(lines):
        if line.startswith("|") and not before.startswith("|"):
            heading = line.split("|")[1].strip()
        named = re.match(r"\| `(\w+)` \|", line)
        if named:
            names.setdefault(heading, set()).add(named[1])
    return names


def test_every_format_is_documented(tables: dict[str, set[str]]) -> None:
    assert tables["`dataset.format=`"] == set(FORMATS)


def test_every_published_data_set_is_documented(tables: dict[str, set[str]]) -> None:
    choices = {file.stem for file in (ROOT / "conf" / "dataset").glob("*.yaml")}
    assert tables["`dataset=`"] == choices - {"auto", "huggingface", "jsonl", "table"}
