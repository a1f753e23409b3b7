"""Trials of a study: existing ones, missing ones, and restarts after an interruption."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from metadialog.errors import RunError
from metadialog.sweeps.directory import SweepDirectory
from metadialog.sweeps.outcomes import Outcome
from metadialog.sweeps.settings import Sweep
from metadialog.sweeps.space import Dimension
from metadialog.sweeps.study import Study
from metadialog.sweeps.trial import load_trial

SPACE = [Dimension("a", "float", 0.1, 1.0, log=True), Dimension("b", "choice", choices=("x", "y"))]
Make = Callable[..., Study]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def study(space: list[Dimension] = SPACE, **options: Any) -> Study:
        settings: dict[str, Any] = {
            "name": "s",
            "space": None,
            "trials": 6,
            "jobs": None,
            "storage": None,
            "sampler": "tpe",
            "startup_trials": 3,
            "points": 2,
            "pruner": "median",
            "prune_after_trials": 2,
            "prune_after_step": 0,
            "seed": 0,
            "retry": False,
        }
        runs = options.pop("runs", {"model.hidden_size": "64"})
        return Study(Sweep(**(settings | options)), space, SweepDirectory(tmp_path / "sweep"), runs)

    (tmp_path / "sweep").mkdir()
    return study


def complete(study: Study, count: int) -> list[list[str]]:
    found = []
    for _ in range(count):
        trial = study.ask(study.next_batch())
        found.append(study.values(trial))
        study.tell(trial, Outcome("finished", float(found[-1][0].partition("=")[2])))
    return found


def test_what_is_tried_depends_on_the_trials_alone_not_on_the_starts(make: Make, tmp_path: Path) -> None:
    whole = complete(make(storage=f"sqlite:///{tmp_path}/whole.db"), 6)
    parts = [*complete(make(), 4), *complete(make(), 2)]  # started twice
    assert parts == whole
    assert make().missing() == 0


def test_another_seed_tries_something_else(make: Make, tmp_path: Path) -> None:
    one = complete(make(storage=f"sqlite:///{tmp_path}/1.db"), 3)
    assert one != complete(make(seed=1, storage=f"sqlite:///{tmp_path}/2.db"), 3)


def test_a_trial_that_was_broken_off_keeps_its_values(make: Make) -> None:
    study = make()
    complete(study, 1)
    begun = study.values(study.ask(2))
    again = make()
    [trial] = again.unfinished()
    assert again.values(trial) == begun
    assert again.missing() == 4


def test_a_grid_holds_every_combination_once(make: Make) -> None:
    study = make(sampler="grid", trials=None)
    assert study.grid_size() == study.missing() == 4
    found = {tuple(values) for values in complete(study, 4)}
    assert {values[1] for values in found} == {"b=x", "b=y"}
    assert len(found) == 4
    assert make(sampler="grid", trials=None).missing() == 0


def test_failed_trials_are_repeated_only_if_asked(make: Make) -> None:
    study = make()
    trial = study.ask(1)
    values = study.values(trial)
    study.tell(trial, Outcome("failed", None, "RunError: diverged"))
    assert study.missing() == 5
    study.enqueue_failed()
    study.enqueue_failed()  # only once
    assert study.missing() == 6
    assert study.values(study.ask(2)) == values


def test_a_run_without_a_finite_loss_has_failed(make: Make) -> None:
    study = make()
    study.tell(study.ask(1), Outcome("finished", None))
    assert study.own()[0].state == TrialState.FAIL


def test_a_study_of_something_else_is_refused(make: Make) -> None:
    make()
    with pytest.raises(RunError, match=r"sweep\.name=s: this study exists already, and varies other things \(b\)"):
        make(space=SPACE[:1])


def test_a_study_of_the_same_space_with_another_config_is_refused(make: Make) -> None:
    make()
    with pytest.raises(RunError, match=r"s: this study exists .*\(model.hidden_size is 32 but was 64\)"):
        make(runs={"model.hidden_size": "32"})


def test_a_run_hears_that_it_is_worse_than_the_median(make: Make, tmp_path: Path) -> None:
    study = make(prune_after_trials=2)
    losses = [1.0, 1.1, 5.0]
    heard = []
    for loss in losses:
        trial = study.ask(1)
        study.values(trial)
        study.announce(trial)
        run = load_trial(tmp_path / "sweep" / str(trial.number))
        heard.append([run.report(step, loss) for step in (0, 2)])
        study.tell(trial, Outcome("finished", loss))
    assert heard[:2] == [[None, None], [None, None]]
    assert heard[2][0] is not None
    assert "is worse than the median" in heard[2][0]


def test_a_run_goes_on_where_the_storage_is_gone(make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    study = make()
    trial = study.ask(1)
    study.announce(trial)
    directory = tmp_path / "sweep" / str(trial.number)
    assert (directory / "trial.json").stat().st_mode & 0o077 == 0  # a URL may contain a password
    (directory / "trial.json").write_text((directory / "trial.json").read_text().replace("study.db", "other.db"))
    assert load_trial(directory).report(0, 1.0) is None
    assert "the run is not pruned" in caplog.text
