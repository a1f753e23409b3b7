"""Configs of earlier versions can still be read."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metadialog.moved_names import up_to_date
from metadialog.runs.config_file import read_config
from metadialog.trust import resolve

Run = Callable[..., Any]
OLD = Path(__file__).parent / "fixtures" / "version_0_1_0"


def numbers(directory: Path) -> list[tuple[Any, ...]]:
    """Return everything except times and durations."""
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [(m["step"], m["split"], m["name"], m["value"]) for m in lines if m["name"] != "tasks_per_second"]


def test_a_class_has_todays_name_and_options() -> None:
    old = {
        "algorithm": {"_target_": "metadialog.algorithms.reptile.Reptile", "inner_lr": 0.3},
        "training": {"_target_": "metadialog.training.trainer.Trainer", "steps": 2},
    }
    assert up_to_date(old) == {
        "algorithm": {"minibatch": None, "_target_": "metadialog.algorithms.reptile.Reptile", "inner_lr": 0.3},
        "training": {"_target_": "metadialog.training.options.TrainingOptions", "steps": 2},
    }


@pytest.mark.parametrize("path", sorted(OLD.rglob("config.yaml")), ids=lambda path: str(path.relative_to(OLD)))
def test_every_class_of_an_old_config_is_found(path: Path) -> None:
    for name, node in read_config(path).items():
        if isinstance(node, dict) and "_target_" in node:
            resolve(node["_target_"], name)


def test_a_run_of_an_earlier_version_goes_on_and_is_evaluated(run: Run) -> None:
    for name in ("broken_off", "finished"):
        shutil.copytree(OLD / name, name)
    resumed = run("train", "resume=broken_off")
    assert resumed.code == 0, resumed.err
    found, expected = numbers(Path("broken_off")), numbers(OLD / "resumed")
    assert [what for *what, _ in found] == [what for *what, _ in expected]
    assert [value for *_, value in found] == pytest.approx([value for *_, value in expected], rel=1e-6, abs=1e-6)
    evaluated = run("evaluate", "run=finished", "evaluation.steps=1", "evaluation.report_steps=[0]")
    assert evaluated.code == 0, evaluated.err
