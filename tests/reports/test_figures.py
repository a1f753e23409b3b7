"""The content of the figures, read from the figure objects."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text

from metadialog.reports.comparison import Comparison, compare_runs
from metadialog.reports.compute import compute_figure, costs
from metadialog.reports.figures import beyond, curves_figure, shots_figure, spread, topics_figure, within
from metadialog.reports.forest import difference_curves_figure, forest_figure
from metadialog.reports.looks import looks
from metadialog.reports.runs import read_runs
from metadialog.statistics.metric_comparison import Settings

MakeRun = Callable[..., Path]


@pytest.fixture(scope="module")
def comparison(write_run: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    place = tmp_path_factory.mktemp("compared")
    for algorithm, seconds in {"finetune": 2.0, "maml": 8.0, "zero_shot": 2.0, "scratch": 0.0}.items():
        for seed in (0, 1):
            write_run(place, algorithm, seed, cost={"seconds": seconds + seed * (seconds > 0)})
    runs, _ = read_runs([place], "refuse")
    return compare_runs(runs, Settings(200, 0.95, "bootstrap", 0.05, 0))


def score(comparison: Comparison, algorithm: str, shots: int) -> list[float]:
    part = comparison.scores[(comparison.scores["metric"] == "word_perplexity") & (comparison.scores["shots"] == shots)]
    found: list[float] = part[part["algorithm"] == algorithm].sort_values("inner_step")["mean"].tolist()
    return found


def test_curves_have_a_panel_for_each_number_of_shots_and_names(comparison: Comparison) -> None:
    figure = curves_figure(comparison)
    assert [axes.get_title() for axes in figure.axes] == ["1 shot", "5 shots"]
    drawn = {tuple(np.asarray(line.get_ydata()).tolist()) for line in figure.axes[1].lines}
    for algorithm in comparison.algorithms:
        assert tuple(score(comparison, algorithm, 5)) in drawn
        assert algorithm in [text.get_text() for text in figure.axes[1].texts]


@pytest.fixture(scope="module")
def long(write_run: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """A comparison with long names."""
    place, name, topic = tmp_path_factory.mktemp("long"), "maml_" * 30, "a topic of many words " * 10
    write_run(place, "maml", 0, options={"algorithm.name": name}, topics=(topic, "travel"))
    write_run(place, "finetune", 0, topics=(topic, "travel"))
    runs, _ = read_runs([place], "refuse")
    return compare_runs(runs, Settings(100, 0.95, "bootstrap", 0.05, 0, baseline="finetune"))


@pytest.mark.parametrize("draw", [curves_figure, shots_figure, topics_figure, forest_figure, difference_curves_figure])
def test_long_names_leave_the_room_to_what_is_drawn(long: Comparison, draw: Callable[[Comparison], Figure]) -> None:
    figure = draw(long)
    figure.draw_without_rendering()
    width, height = figure.bbox.width, figure.bbox.height
    drawn = sum(axes.get_window_extent().width for axes in figure.axes if axes.get_label() != "<colorbar>")
    assert drawn > 0.25 * width
    assert figure.axes[0].get_window_extent().height > 0.3 * height
    assert max(len(text.get_text()) for text in figure.findobj(Text)) < 80


def test_without_shots_there_is_no_panel_of_points(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("maml", 0, shots=(0, 1))
    make_run("finetune", 0, shots=(0, 1))
    runs, _ = read_runs([tmp_path], "refuse")
    figure = curves_figure(compare_runs(runs, Settings(100, 0.95, "bootstrap", 0.05, 0)))
    assert [axes.get_title() for axes in figure.axes] == ["1 shot"]


def test_a_name_has_the_line_and_marker_of_its_curve_beside_it(comparison: Comparison) -> None:
    axes = curves_figure(comparison).axes[-1]
    keys = [line for line in axes.lines if line.get_transform() == axes.transAxes]
    curves = [line for line in axes.lines if np.asarray(line.get_ydata()).tolist() == score(comparison, "maml", 5)]
    assert len(keys) == len(comparison.algorithms)
    looks = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in keys}
    assert {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in curves} <= looks
    assert axes.get_xlim()[1] < 5  # legends do not widen the axes


def test_before_adaptation_there_are_no_shots(comparison: Comparison) -> None:
    axes = shots_figure(comparison).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0\n(before)", "1", "5"]
    expected = [score(comparison, "maml", 1)[0], score(comparison, "maml", 1)[-1], score(comparison, "maml", 5)[-1]]
    assert expected in [np.asarray(line.get_ydata()).tolist() for line in axes.lines]


def test_the_heat_map_has_a_number_for_each_topic_and_algorithm(comparison: Comparison) -> None:
    axes = topics_figure(comparison).axes[0]
    assert len(axes.texts) == 6 * 4
    assert [label.get_text() for label in axes.get_xticklabels()] == list(comparison.algorithms)
    assert len(axes.get_yticklabels()) == 6


def test_cost_is_the_mean_over_seeds_and_nothing_stands_apart(comparison: Comparison) -> None:
    spent = costs(comparison)
    assert spent["seconds"].to_dict() == {"finetune": 2.5, "maml": 8.5, "scratch": 0.0, "zero_shot": 2.5}
    axes = compute_figure(comparison, spent).axes[0]
    assert axes.get_xlabel() == "seconds of meta-training"
    assert axes.get_xticklabels()[0].get_text() == "none"
    places = [float(np.asarray(line.get_xdata())[0]) for line in axes.lines]
    assert {2.5, 8.5} <= set(places)
    assert min(places) < 2.5


def test_no_cost_is_told_where_one_run_keeps_it_to_itself(
    make_run: MakeRun, comparison: Comparison, tmp_path: Path
) -> None:
    assert not costs(comparison).empty
    make_run("maml", 7)
    make_run("finetune", 7, cost={"seconds": 1.0})
    runs, _ = read_runs([tmp_path], "refuse")
    assert costs(compare_runs(runs, comparison.settings)).empty


def test_no_two_algorithms_look_alike() -> None:
    drawn = looks([f"algorithm {number}" for number in range(20)])
    assert len({tuple(one.values()) for one in drawn}) == 20
    pairs = [(one["color"], one["linestyle"]) for one in drawn]
    assert len(set(pairs)) == 20
    assert all(a[0] != b[0] and a[1] != b[1] for a, b in pairwise(pairs))


def test_cold_and_warm_of_one_algorithm_have_one_colour() -> None:
    cold, warm, other = looks(["maml", "maml_warm", "reptile"])
    assert cold["color"] == warm["color"] != other["color"]
    assert cold["linestyle"] != warm["linestyle"]


def test_what_would_stretch_an_axis_is_beyond_it() -> None:
    near = {"a": 1.0, "b": 1.1, "c": 1.2, "d": 0.9}
    assert beyond(near) == {}
    assert beyond({**near, "bad": 9.0}) == {"bad": 9.0}
    assert beyond({"a": 1.0, "b": 9.0}) == {}


@pytest.fixture(scope="module")
def with_baseline(comparison: Comparison) -> Comparison:
    return compare_runs(comparison.runs, replace(comparison.settings, baseline="finetune"))


def test_the_forest_has_a_row_for_each_difference_and_its_interval(with_baseline: Comparison) -> None:
    figure = forest_figure(with_baseline)
    assert [axes.get_title() for axes in figure.axes] == ["1 shot", "5 shots"]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert set(names) == {"maml", "zero_shot", "scratch"}
    part = with_baseline.baseline_differences
    part = part[(part["metric"] == "word_perplexity") & (part["shots"] == 5) & (part["inner_step"] == 4)]
    expected = part.set_index("algorithm")["difference"]
    drawn = {
        names[round(float(np.asarray(line.get_ydata())[0]))]: float(np.asarray(line.get_xdata())[0])
        for line in figure.axes[1].lines
        if line.get_marker() not in ("None", "|", "")
    }
    assert drawn == pytest.approx({name: expected[name] for name in names})
    assert "minus that of finetune" in figure.get_supxlabel()


def test_curves_of_differences_leave_the_baseline_at_zero(with_baseline: Comparison) -> None:
    axes = difference_curves_figure(with_baseline).axes[1]
    texts = [text.get_text() for text in axes.texts]
    assert "maml" in texts
    assert "finetune" not in texts


@given(st.lists(st.floats(0, 1), max_size=12))
def test_names_are_moved_apart_and_keep_their_order(heights: list[float]) -> None:
    moved = spread(heights, 0.05)
    order = sorted(range(len(heights)), key=heights.__getitem__)
    assert all(moved[b] - moved[a] >= 0.05 - 1e-9 for a, b in pairwise(order))
    apart = all(heights[b] - heights[a] >= 0.05 for a, b in pairwise(order))
    assert not apart or moved == pytest.approx(heights)


def test_names_stay_beside_the_axes_while_there_is_room() -> None:
    assert within([0.9, 1.0, 1.1], 0.1) == pytest.approx([0.8, 0.9, 1.0])
    assert within([0.3, -0.2], 0.1) == pytest.approx([0.3, 0.0])
    assert within([0.4, 0.5], 0.1) == [0.4, 0.5]
