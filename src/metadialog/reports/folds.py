"""Runs that hold out each topic in turn, combined into one."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from metadialog.errors import RunError
from metadialog.reports.runs import Run

TARGET = "metadialog.splits.leave_one_topic_out.LeaveOneTopicOutSplit"
FOLD = "held_out"


def pool_folds(runs: Sequence[Run]) -> list[Run]:
    """Return the runs, those of `split=leave_one_topic_out` joined by algorithm and seed.

    A joined run has the records of all its topics but no cost, as each topic had its own training.

    Raises:
        RunError: a topic is held out twice, or not in every row.
    """
    folds: dict[tuple[str, int], dict[int, Run]] = {}
    others = []
    for run in runs:
        split = run.config.get("split") or {}
        if split.get("_target_") != TARGET:
            others.append(run)
            continue
        of_row = folds.setdefault((run.algorithm, run.seed), {})
        if split[FOLD] in of_row:
            raise RunError(
                f"algorithm {run.algorithm}, seed {run.seed}: split.{FOLD}={split[FOLD]} is there twice, in "
                f"{of_row[split[FOLD]].path} and {run.path}; leave one out"
            )
        of_row[split[FOLD]] = run
    every = sorted({number for of_row in folds.values() for number in of_row})
    for (algorithm, seed), of_row in folds.items():
        missing = [number for number in every if number not in of_row]
        if missing:
            raise RunError(
                f"algorithm {algorithm}, seed {seed}: no run has split.{FOLD}={missing[0]}, as others have; every row "
                f"should hold out the same topics"
            )
    return [*others, *(_joined([of_row[number] for number in sorted(of_row)]) for of_row in folds.values())]


def _joined(folds: Sequence[Run]) -> Run:
    """Return several runs as one."""
    first = folds[0]
    config = {**first.config, "split": {name: value for name, value in first.config["split"].items() if name != FOLD}}
    shots = set.intersection(*(set(run.episodes) for run in folds))
    episodes = {count: frozenset().union(*(run.episodes[count] for run in folds)) for count in shots}
    records = pd.concat([run.records for run in folds], ignore_index=True)
    common = Path(first.path).parent if len(folds) > 1 else first.path
    joined = tuple(run.status for run in folds)
    return replace(first, path=common, config=config, records=records, episodes=episodes, cost=None, joined=joined)
