"""`metadialog bench` as a command, on its smallest part."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

FIELDS = [
    "config", "kind", "engine", "inner_steps", "tasks", "hidden_size", "device", "ms_median", "ms_q1", "ms_q3",
    "tasks_per_second",
    "peak_bytes", "ratio_to_learn2learn", "ratio_to_gd", "bound_ms",
]  # fmt: skip


def test_a_part_of_the_benchmark(run: Run) -> None:
    outcome = run(
        "bench", "bench.configs=[small]", "bench.inner_steps=[1]", "bench.contenders=[vectorized]", "bench.rounds=3",
        "bench.tasks=[4]", "bench.hidden_sizes=[]",
        "bench.threads=1", "device=cpu", "output=costs",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    rows = json.loads(Path("costs/bench.json").read_text())
    who = [("yardstick", "gd"), ("peer", "learn2learn"), ("engine", "vectorized")]
    assert [(row["kind"], row["engine"]) for row in rows] == 2 * who
    assert [(row["config"], row["tasks"]) for row in rows] == [("small", 16)] * 3 + [("small-tasks-4", 4)] * 3
    for row in rows:
        assert all(field in row for field in FIELDS)
        assert 0 < row["ms_q1"] <= row["ms_median"] <= row["ms_q3"]
        assert row["tasks_per_second"] == pytest.approx(1000 * row["tasks"] / row["ms_median"])
        assert row["rounds"] == 3
        assert row["peak_bytes"] > 0
        assert row["bound_ms"] > 0
    assert rows[0]["ratio_to_gd"] == rows[1]["ratio_to_learn2learn"] == 1
    assert rows[2]["error"] < 1e-4
    assert rows[1]["error"] == 0
    assert Path("costs/cost.png").stat().st_size > 10_000
    table = Path("costs/table.md").read_text()
    assert table.count("\n") == 8
    assert table in outcome.out
    assert sorted(path.name for path in Path("costs").iterdir()) == ["bench.json", "cost.png", "table.md"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("bench.contenders=[vectorised]", "bench.contenders=['vectorised']: should be 'gd', 'peer/learn2learn', "),
        ("bench.configs=[tiny]", "bench.configs=['tiny']: should be 'small', 'medium' or 'large'"),
        ("bench.inner_steps=[0]", "bench.inner_steps=[0]: should be greater than or equal to 1"),
        ("bench.rounds=1", "bench.rounds=1: should be greater than or equal to 3"),
    ],
)
def test_mistakes_cost_one_line(run: Run, override: str, message: str) -> None:
    outcome = run("bench", override, "output=costs")
    assert outcome.code == 2
    assert outcome.err.startswith(f"metadialog bench: {message}")
    assert outcome.err.count("\n") == 1
    assert not Path("costs").exists()


def test_a_file_is_no_place_for_results(run: Run) -> None:
    Path("costs").write_text("mine", encoding="utf-8")
    outcome = run("bench", "output=costs")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert outcome.err.startswith("metadialog bench: output=costs: costs is a file; output should be a directory")
    assert Path("costs").read_text(encoding="utf-8") == "mine"
