"""Committed results have the folder names of their commands, and no paths of the machine."""

import re
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
FILES = [
    path
    for pattern in ("*/results/*.md", "*/results/*.csv", "*/records/**/*.json", "*/records/**/*.yaml")
    for path in sorted(EXPERIMENTS.glob(pattern))
]
ABSOLUTE = re.compile(r"""[=\s\["'](/(?:home|root|tmp|work|Users|mnt|var)/[^\s"']*)""")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(EXPERIMENTS).as_posix())
def test_no_absolute_path_is_committed(file: Path) -> None:
    assert ABSOLUTE.findall(file.read_text(encoding="utf-8")) == []
