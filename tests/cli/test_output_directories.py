"""No job overwrites a run, or another job of its sweep."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
SMOKE = ("debug=smoke", "logger=local", "training.steps=1")


def contents(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("override", ["hydra.run.dir=one", "++hydra.run.dir=one", "hydra.run.dir='one'"])
def test_a_directory_that_holds_a_run_is_refused_however_it_is_named(run: Run, override: str) -> None:
    assert run("train", *SMOKE, "hydra.run.dir=one").code == 0
    before = contents(Path("one"))
    refused = run("train", *SMOKE, override)
    assert refused.code == 2
    assert refused.err == "metadialog train: one: holds a run already; name another hydra.run.dir, or resume=one\n"
    assert contents(Path("one")) == before


def test_a_sweep_into_a_directory_that_holds_runs_is_refused(run: Run) -> None:
    sweep = ("train", "-m", *SMOKE, "hydra.sweep.dir=sw")
    assert run(*sweep, "seed=0").code == 0
    before = contents(Path("sw"))
    refused = run(*sweep, "seed=1,2")
    assert refused.code == 2
    assert refused.err == "metadialog train: sw/0: holds a run already; name another hydra.sweep.dir, or resume=sw/0\n"
    assert contents(Path("sw")) == before


def test_a_sweep_that_names_its_runs_by_their_options_can_go_on(run: Run) -> None:
    sweep = ("train", "-m", *SMOKE, "hydra.sweep.dir=sw", "hydra.sweep.subdir=seed${seed}")
    assert run(*sweep, "seed=0").code == 0
    assert run(*sweep, "seed=1,2").code == 0
    assert {path.parent.name for path in Path("sw").glob("*/status.json")} == {"seed0", "seed1", "seed2"}
    refused = run(*sweep, "seed=3,2")
    assert refused.code == 2
    assert refused.err.startswith("metadialog train: sw/seed2: holds a run already")


def test_two_jobs_of_a_sweep_in_one_directory_are_refused(run: Run) -> None:
    refused = run("train", "-m", *SMOKE, "seed=0,1", "hydra.sweep.subdir=same", "hydra.sweep.dir=sw")
    assert refused.code == 2
    assert refused.err.startswith("metadialog train: hydra.sweep.subdir: puts several jobs into sw/same; each should")
    assert refused.err.count("\n") == 1
    assert list(Path.cwd().iterdir()) == []


def test_hydras_own_values_may_name_the_directory(run: Run) -> None:
    outcome = run("train", *SMOKE, "hydra.run.dir=runs/${hydra:runtime.choices.model}-${seed}")
    assert outcome.code == 0, outcome.err
    assert outcome.run_directory.samefile("runs/gru-0")


def test_a_run_goes_on_in_its_own_directory(run: Run) -> None:
    assert run("train", *SMOKE, "hydra.run.dir=one").code == 0
    before = contents(Path("one"))
    refused = run("train", "resume=one", "hydra.run.dir=two")
    assert refused.code == 2
    assert refused.err.startswith("metadialog train: hydra.run.dir=two: a run is resumed in its own directory, one;")
    refused = run("train", "resume=one", "training.steps=0")
    assert refused.code == 2
    assert refused.err == "metadialog train: resume=one: the run is at step 1; training.steps=0 should be 1 or more\n"
    assert contents(Path("one")) == before
    assert not Path("two").exists()


def test_data_may_be_described_wherever_one_is(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("train", *SMOKE, "hydra.run.dir=one").code == 0
    before = contents(Path("one"))
    monkeypatch.chdir("one")
    assert run("data").code == 0
    assert contents(Path.cwd()) == {Path.cwd() / path.relative_to("one"): data for path, data in before.items()}
