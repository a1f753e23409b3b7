"""The table and figure of costs, from a file in the format of the benchmark."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metadialog.benchmark.contenders import CONTENDERS
from metadialog.reports.meta_steps import _STYLES, bench_figure, bench_table, read_bench


def row(kind: str, engine: str, steps: int, ms: float, config: str = "small", tasks: int = 16) -> dict[str, object]:
    return {
        "tasks": tasks, "hidden_size": 64,
        "config": config, "kind": kind, "engine": engine, "inner_steps": steps, "device": "cpu",
        "ms_median": ms, "ms_q1": ms - 1, "ms_q3": ms + 2, "tasks_per_second": 16_000 / ms,
        "peak_bytes": 3 * 2**20, "bound_ms": 8.0, "error": None, "rounds": 5,
        "ratio_to_learn2learn": ms / 200, "ratio_to_learn2learn_q1": ms / 250, "ratio_to_learn2learn_q3": ms / 160,
        "ratio_to_gd": ms / 20, "ratio_to_gd_q1": ms / 25, "ratio_to_gd_q3": ms / 16,
    }  # fmt: skip


@pytest.fixture
def costs(tmp_path: Path) -> pd.DataFrame:
    """Three contenders, two numbers of steps, two configurations."""
    rows = [
        row(kind, engine, steps, ms * steps, config)
        for config in ("small", "medium")
        for steps in (1, 5)
        for kind, engine, ms in (("yardstick", "gd", 20), ("peer", "learn2learn", 200), ("engine", "learn2learn", 210))
    ]
    (tmp_path / "bench.json").write_text(json.dumps(rows))
    return read_bench(tmp_path / "bench.json")


def test_the_table_has_a_row_for_each(costs: pd.DataFrame) -> None:
    lines = bench_table(costs).splitlines()
    assert len(lines) == 2 + 12
    assert lines[2] == (
        "| small | 1 | ordinary gradient descent | 20.0 (19.0-22.0) | 800 | 3 | 10.00 (8.00-12.50) "
        "| 1.00 (0.80-1.25) | 8.0 |"
    )
    assert "| learn2learn (peer) |" in lines[3]
    assert "| learn2learn |" in lines[4]
    assert {line.count("|") for line in lines} == {10}


def test_the_figure_has_time_and_memory_of_each_configuration(costs: pd.DataFrame) -> None:
    figure = bench_figure(costs)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["small", "medium", "", ""]
    time = figure.axes[0]
    names = time.get_legend_handles_labels()[1]
    assert sorted(names) == [
        "arithmetic bound of an exact step",
        "learn2learn",
        "learn2learn (peer)",
        "ordinary gradient descent",
    ]
    drawn = {tuple(np.asarray(line.get_ydata()).tolist()) for line in time.lines}
    assert {(20.0, 100.0), (200.0, 1000.0), (210.0, 1050.0), (8.0, 8.0)} <= drawn
    assert [tick.get_text() for tick in time.get_xticklabels()] == ["1", "5"]


def test_contenders_are_told_apart_without_colours() -> None:
    who = [
        "ordinary gradient descent" if of.kind == "yardstick" else of.name + " (peer)" * (of.kind == "peer")
        for of in CONTENDERS.values()
    ]
    assert set(who) <= set(_STYLES)
    assert len({_STYLES[name][1] for name in [*who, "functional"]}) == len(who) + 1


def test_variations_have_panels_of_their_own(costs: pd.DataFrame) -> None:
    more = pd.DataFrame([row("yardstick", "gd", 1, 5 * n, f"small-tasks-{n}", n) for n in (1, 4)])
    more["who"] = "ordinary gradient descent"
    figure = bench_figure(pd.concat([costs, more]))
    assert [axes.get_title() for axes in figure.axes[:3]] == ["small", "medium", "small, 1 inner step"]
    varied = figure.axes[2]
    assert varied.get_xlabel() == "tasks in the meta-batch"
    assert [tick.get_text() for tick in varied.get_xticklabels()] == ["1", "4", "16"]
    drawn = {tuple(np.asarray(line.get_ydata()).tolist()) for line in varied.lines}
    assert (5.0, 20.0, 20.0) in drawn
