from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from metadialog.errors import RunError
from metadialog.reports.comparison import compare_runs
from metadialog.reports.folds import FOLD, TARGET, pool_folds
from metadialog.reports.runs import Run, read_runs
from metadialog.reports.words import size
from metadialog.statistics.metric_comparison import Settings

MakeRun = Callable[..., Path]
TOPICS = ("sport_2", "travel", "music")
SETTINGS = Settings(300, 0.95, "bootstrap", 0.05, 0)


def options(number: int) -> dict[str, Any]:
    return {"split": {"_target_": TARGET, FOLD: number, "validation": 0.2, "min_dialogues": 10}}


BOTH = ("maml", "finetune")


def folds(make_run: MakeRun, tmp_path: Path, *numbers: int, algorithms: tuple[str, ...] = BOTH) -> list[Run]:
    for algorithm in algorithms:
        for seed in (0, 1):
            for number in numbers:
                flat = {f"split.{name}": value for name, value in options(number)["split"].items()}
                unset = {"split.seed": None, "split.test": None}
                make_run(algorithm, seed, place=f"fold{number}", options=flat | unset, topics=(TOPICS[number],))
    return read_runs([tmp_path], "refuse")[0]


def test_one_table_over_all_topics(make_run: MakeRun, tmp_path: Path) -> None:
    runs = folds(make_run, tmp_path, 0, 1, 2)
    assert len(runs) == 12
    pooled = pool_folds(runs)
    assert [(run.algorithm, run.seed) for run in pooled] == [("finetune", 0), ("finetune", 1), ("maml", 0), ("maml", 1)]
    assert all(set(run.records["topic"]) == set(TOPICS) for run in pooled)
    comparison = compare_runs(runs, SETTINGS)
    assert size(comparison).endswith(
        "2 algorithms, 2 seeds each, 3 held-out topics, 9 episodes, the same for all; 12 runs."
    )
    scores = comparison.scores
    row = scores.set_index(["algorithm", "metric", "shots", "inner_step"]).loc[("maml", "word_perplexity", 5, 4)]  # type: ignore[index]
    records = pd.concat(run.records for run in runs)
    part = records[(records["algorithm"] == "maml") & (records["shots"] == 5) & (records["inner_step"] == 4)]
    assert row["mean"] == pytest.approx(np.exp((part["loss"] * part["tokens"]).sum() / part["words"].sum()))
    assert (row["seeds"], row["topics"]) == (2, 3)


def test_a_row_that_lacks_a_topic_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    folds(make_run, tmp_path, 0, 1)
    runs = folds(make_run, tmp_path, 2, algorithms=("maml",))
    with pytest.raises(RunError, match=r"algorithm finetune, seed 0: no run has split\.held_out=2, as others have"):
        compare_runs(runs, SETTINGS)


def test_a_topic_that_is_there_twice_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    folds(make_run, tmp_path, 0)
    runs = folds(make_run, tmp_path, 0)
    with pytest.raises(RunError, match=r"algorithm \w+, seed 0: split\.held_out=0 is there twice, in .* and "):
        compare_runs(runs, SETTINGS)


def test_other_splits_are_left_as_they_are(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("maml", 0)
    runs, _ = read_runs([tmp_path], "refuse")
    assert pool_folds(runs) == runs
