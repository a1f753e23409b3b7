"""The number of inner steps to reach the best score of fine-tuning, from the scores of a comparison."""

from dataclasses import replace

import pandas as pd
import pytest

from metadialog.reports.comparison import Comparison
from metadialog.reports.reach import reach_grids
from metadialog.statistics.metric_comparison import Settings

CURVES = {
    "finetune": {1: [4.0, 3.5, 3.2, 3.3], 5: [4.0, 3.0, 2.0, 1.0]},
    "maml": {1: [4.1, 3.2, 3.0, 2.9], 5: [4.1, 2.0, 1.5, 1.2]},
    "zero_shot": {1: [4.0, 4.0, 4.0, 4.0], 5: [4.0, 4.0, 4.0, 4.0]},
}


@pytest.fixture
def comparison() -> Comparison:
    rows = [
        {"algorithm": name, "metric": "loss", "shots": shots, "inner_step": step, "mean": mean}
        for name, of_shots in CURVES.items()
        for shots, curve in of_shots.items()
        for step, mean in enumerate(curve)
    ]
    nothing = pd.DataFrame()
    settings = Settings(100, 0.95, "bootstrap", 0.05, 0)
    scores = pd.DataFrame(rows).sample(frac=1, random_state=0)
    return Comparison(
        algorithms=list(CURVES),
        fixed=["zero_shot"],
        metrics=[],
        scores=scores,
        differences=nothing,
        baseline_differences=nothing,
        topics=nothing,
        warnings=[],
        settings=settings,
        runs=[],
        varied={},
    )


def test_the_first_step_that_is_as_low(comparison: Comparison) -> None:
    [grid] = reach_grids(comparison)
    assert list(grid.columns) == ["1 shot", "5 shots"]
    cells = {name: [cell.mean if cell else None for cell in cells] for name, cells in grid.rows}
    assert cells == {"finetune": ["2", "3"], "maml": ["1", "never"], "zero_shot": ["never", "never"]}


def test_without_fine_tuning_there_is_nothing_to_reach(comparison: Comparison) -> None:
    scores = comparison.scores[comparison.scores["algorithm"] != "finetune"]
    assert reach_grids(replace(comparison, algorithms=["maml", "zero_shot"], scores=scores)) == []
