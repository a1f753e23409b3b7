"""Directories of version 0.1.0 can be read and resumed by this version, with the same results."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from metadialog.runs import layout, schemas
from metadialog.runs.config_file import read_choices, read_config, read_multirun, read_overrides, read_run_config
from metadialog.runs.records import read_records

Run = Callable[..., Any]

FIXTURES = Path(__file__).parents[1] / "fixtures" / "version_0_1_0"
FINISHED = ["finished", "sweep/0", "sweep/1", "study/0", "study/1", "study/2"]


@pytest.mark.parametrize("name", FINISHED)
def test_every_file_of_a_run_is_read(name: str) -> None:
    run = FIXTURES / name
    status = schemas.read_status(run / layout.STATUS)
    assert (status.status, status.format, status.versions["metadialog"]) == ("finished", 1, "0.1.0")
    config = read_run_config(run / layout.CONFIG)
    assert config["model"]["hidden_size"] == 8
    assert read_config(layout.hydra_config(run))["evaluation"]["shots"] == [1]
    assert read_choices(run)["algorithm"] in ("maml", "fomaml")
    assert "model.hidden_size=8" in read_overrides(run)
    costs = schemas.read_costs(run / layout.COST)
    assert costs.meta_train is not None
    assert costs.meta_train.steps == config["training"]["steps"]
    assert {metric.split for metric in schemas.read_scalars(run / layout.SCALARS)} >= {"meta_train", "meta_test"}
    assert len(schemas.read_samples(run / layout.SAMPLES)) == 49
    found = read_records(run / layout.RECORDS)
    assert (len(found.records), found.language, len(found.episodes)) == (15, "en", 5)
    pd.testing.assert_frame_equal(found.records, pd.read_parquet(run / layout.RECORDS))


def test_sweeps_are_read() -> None:
    hydra = read_multirun(FIXTURES / "sweep" / layout.MULTIRUN)
    assert "algorithm=maml,fomaml" in hydra.overrides.task
    assert schemas.read_sweep(FIXTURES / "study" / layout.SWEEP)["name"] == "optuna-e07b249e"
    trials = schemas.read_trials(FIXTURES / "study" / layout.TRIALS)
    assert [trial.state for trial in trials] == ["finished"] * 3
    assert schemas.read_trial(FIXTURES / "study" / "1" / layout.TRIAL).trial == 2


def test_a_run_that_broke_off_goes_on_to_the_same_digits(run: Run, tmp_path: Path) -> None:
    directory = tmp_path / "work" / "broken_off"
    shutil.copytree(FIXTURES / "broken_off", directory)
    outcome = run("train", "resume=broken_off")
    assert outcome.code == 0, outcome.err
    expected = FIXTURES / "resumed"
    columns = list(pd.read_parquet(expected / layout.RECORDS))
    pd.testing.assert_frame_equal(
        pd.read_parquet(directory / layout.RECORDS)[columns], pd.read_parquet(expected / layout.RECORDS)
    )
    assert (directory / layout.SAMPLES).read_text() == (expected / layout.SAMPLES).read_text()
    # A gain is a difference of two losses near 4, each of which is rounded to about 2e-7 in single precision.
    assert _losses(directory) == pytest.approx(_losses(expected), rel=1e-6, abs=5e-7)


def _losses(run: Path) -> dict[str, float]:
    """Return every number that does not depend on the machine's speed, by step, split and name."""
    lines = map(json.loads, (run / layout.SCALARS).read_text().splitlines())
    return {
        f"{line['step']} {line['split']} {line['name']}": line["value"]
        for line in lines
        if line["name"] != "tasks_per_second"
    }
