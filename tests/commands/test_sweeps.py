"""Sweeps as commands: `metadialog train -m sweep=...`, `metadialog sweeps`, `metadialog sweep-config`."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Run = Callable[..., Any]
QUICK = (
    "debug=smoke", "logger=local", "threads=1", "evaluation.queries=1", "generation.max_tokens=2",
    "training.validation_episodes=1", "training.meta_batch=2", "sampler.queries=2",
)  # fmt: skip
SPACE = """\
# The second has more shots than there are dialogues.
sampler:
  shots: choice(1,400,2)
"""
FIGURES = {"importance.png", "parallel_coordinates.png", "best_so_far.png"}


def metadialog(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "metadialog", *arguments]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a user's search space, and the runs of a grid search in it."""
    found = tmp_path_factory.mktemp("sweeps")
    spaces = found / "mine" / "sweep" / "space"
    spaces.mkdir(parents=True)
    (spaces / "one.yaml").write_text(SPACE)
    (found / "mine" / "optimizer").mkdir()
    shutil.copy(
        Path(__file__).parents[2] / "conf" / "optimizer" / "adam.yaml", found / "mine" / "optimizer" / "own.yaml"
    )
    done = metadialog(found, *GRID)
    assert done.returncode == 0, done.stderr
    return found


GRID = (
    "train",
    "-m",
    "--config-dir",
    "mine",
    "sweep=grid",
    "sweep.space=one",
    "sweep.name=mine",
    *QUICK,
    "optimizer=own",
)
SWEEP = Path("multirun/train/mine")


@pytest.fixture
def there(place: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A function that runs commands in the folder with the search space."""
    monkeypatch.chdir(place)
    return run


def stamps(directory: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in directory.rglob("*") if path.is_file()}


def test_a_run_that_fails_does_not_stop_the_sweep(place: Path) -> None:
    trials = [json.loads(line) for line in (place / SWEEP / "trials.jsonl").read_text().splitlines()]
    assert [(trial["number"], trial["state"]) for trial in trials] == [(0, "finished"), (1, "failed"), (2, "finished")]
    assert [trial["overrides"][-1] for trial in trials] == [f"sampler.shots={shots}" for shots in (1, 400, 2)]
    assert trials[1]["reason"].startswith("DataError: topic ")
    for number in (0, 2):
        assert json.loads((place / SWEEP / str(number) / "status.json").read_text())["status"] == "finished"


def test_the_figures_are_there(place: Path) -> None:
    for name in FIGURES:
        assert (place / SWEEP / name).read_bytes().startswith(b"\x89PNG")


def test_the_same_command_twice_does_nothing_twice(place: Path, there: Run) -> None:
    before = {path: when for path, when in stamps(place / SWEEP).items() if path.parent != place / SWEEP}
    again = there(*GRID)
    assert again.code == 0, again.err
    assert "Launching" not in again.out + again.err
    after = {path: when for path, when in stamps(place / SWEEP).items() if path.parent != place / SWEEP}
    assert after == before


def test_list_says_what_ran_and_what_failed_and_why(place: Path, run: Run) -> None:
    outcome = run("sweeps", "list", str(place / SWEEP))
    assert outcome.code == 0, outcome.err
    for text in ("sampler.shots=1", "sampler.shots=400", "DataError: topic"):
        assert text in " ".join(outcome.out.split())
    assert outcome.out.splitlines()[-1].startswith("3 runs: 2 finished, 1 failed; best validation loss")


def test_best_prints_overrides_to_paste(place: Path, run: Run) -> None:
    outcome = run("sweeps", "best", str(place / SWEEP))
    assert outcome.code == 0, outcome.err
    trials = [json.loads(line) for line in (place / SWEEP / "trials.jsonl").read_text().splitlines()]
    best = min((trial for trial in trials if trial["state"] == "finished"), key=lambda trial: trial["value"])
    # Also with the folder of additional configs, which the overrides may need.
    assert shlex.split(outcome.out) == ["--config-dir", str(place / "mine"), *best["overrides"]]
    assert f"best validation loss {best['value']:.4f}" in outcome.err
    again = run("train", *shlex.split(outcome.out))
    assert again.code == 0, again.err
    lines = [json.loads(line) for line in (again.run_directory / "metrics.jsonl").read_text().splitlines()]
    assert min(line["value"] for line in lines if line["name"] == "loss_after") == best["value"]


def test_resume_from_anywhere_runs_what_is_missing_and_takes_more_trials(
    place: Path, there: Run, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sweep = place / "multirun/train/more"
    first = there(*GRID[:6], "sweep.name=more", *QUICK, "sweep.trials=1")
    assert first.code == 0, first.err
    monkeypatch.chdir(tmp_path)
    outcome = run("sweeps", "resume", str(sweep), "sweep.trials=3", "sampler.shots=choice(1,2)")
    assert outcome.code == 2
    assert "varies other things (sampler.shots)" in outcome.err
    outcome = run("sweeps", "resume", str(sweep), "sweep.trials=3")
    assert outcome.code == 0, outcome.err
    trials = [json.loads(line) for line in (sweep / "trials.jsonl").read_text().splitlines()]
    assert [trial["state"] for trial in trials] == ["finished", "failed", "finished"]


def test_hydras_own_sweeper_leaves_what_can_be_listed_and_resumed(place: Path, there: Run, run: Run) -> None:
    options = ("train", "-m", *QUICK, "sampler.shots=1,2", "hydra.sweep.dir=basic")
    done = there(*options)
    assert done.code == 0, done.err
    sweep = place / "basic"
    status = sweep / "1" / "status.json"
    status.write_text(status.read_text().replace('"finished"', '"running"'))
    kept = stamps(sweep / "0")
    listed = run("sweeps", "list", str(sweep))
    assert listed.out.splitlines()[-1].startswith("2 runs: 1 finished, 1 broken off")
    assert run("sweeps", "resume", str(sweep)).code == 0
    assert json.loads(status.read_text())["status"] == "finished"
    assert {
        path: when for path, when in stamps(sweep / "0").items() if path in kept and ".hydra" not in path.parts
    } == {path: when for path, when in kept.items() if ".hydra" not in path.parts}


def test_a_multirun_names_all_that_failed_and_finds_nested_runs(place: Path, there: Run) -> None:
    options = ("train", "-m", *QUICK, "sampler.shots=400,1,500", "hydra.sweep.dir=failing")
    nested = "hydra.sweep.subdir=shots/${hydra.job.num}/${sampler.shots}"
    done = there(*options, nested)
    assert done.code == 2
    first, *rest = done.err.splitlines()
    assert first == "metadialog train: 2 of 3 runs did not finish:"
    assert [line.partition(": DataError: topic ")[0] for line in rest] == [
        f"metadialog train: #{number} sampler.shots={shots}" for number, shots in ((0, 400), (2, 500))
    ]
    told = [line.partition("] ")[2] for line in done.out.splitlines() if re.search(r"HYDRA\] #", line)]
    assert [line.split()[:2] for line in told] == [["#0", "failed"], ["#1", "finished"], ["#2", "failed"]]
    assert "(1 of 3, 1 failed, about 0:" in told[0]
    listed = there("sweeps", "list", str(place / "failing"), "--sort", "state")
    lines = [line.split("\t") for line in listed.out.splitlines()[:-1]]
    assert [line[0] for line in lines] == ["run", "shots/0/400", "shots/2/500", "shots/1/1"]
    assert lines[0] == ["run", "state", "validation loss", "duration", "varied", "reason"]
    assert lines[3][4] == "sampler.shots=1"


def test_an_edited_config_is_another_sweep(place: Path, there: Run, tmp_path: Path) -> None:
    edited = tmp_path / "edited"
    shutil.copytree(place / "mine", edited)
    own = edited / "optimizer" / "own.yaml"
    own.write_text(re.sub(r"(?m)^lr: [\d.]+", "lr: 0.07", own.read_text()))
    done = there(*(str(edited) if word == "mine" else word for word in GRID))
    assert done.code == 2
    assert "holds a sweep of other runs (optimizer.lr is 0.07 but was " in done.err


@pytest.fixture
def old_study(tmp_path: Path) -> Path:
    """The sweep of version 0.1.0, in a folder from which it could have been started."""
    study = tmp_path / "study"
    shutil.copytree(Path(__file__).parents[1] / "fixtures" / "version_0_1_0" / "study", study)
    about = json.loads((study / "sweep.json").read_text())
    (study / "sweep.json").write_text(json.dumps({**about, "folder": str(tmp_path)}))
    return study


def test_a_sweep_of_version_0_1_0_goes_on(old_study: Path, run: Run) -> None:
    before = (old_study / "trials.jsonl").read_text().splitlines()
    outcome = run("sweeps", "resume", str(old_study), "sweep.trials=4")
    assert outcome.code == 0, outcome.err
    after = [json.loads(line) for line in (old_study / "trials.jsonl").read_text().splitlines()]
    kept = [{key: trial[key] for key in json.loads(before[0])} for trial in after]
    assert kept[:3] == [json.loads(line) for line in before]
    assert [trial["state"] for trial in after] == ["finished"] * 4


def test_a_sweep_of_version_0_1_0_does_not_go_on_as_another(old_study: Path, run: Run) -> None:
    about = json.loads((old_study / "sweep.json").read_text())
    typed = [argument for argument in about["arguments"] if not argument.startswith("sweep.name")]
    typed = [argument.replace("hidden_size=8", "hidden_size=9") for argument in typed]
    outcome = run("train", "-m", *typed, f"hydra.sweep.dir={old_study}")
    assert outcome.code == 2
    assert "holds a sweep of other runs (model.hidden_size is 9 but was 8)" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("sweep=optuna", *QUICK), "sweep=optuna: starts many runs; add -m"),
        (("-m", "sweep=optuna", "sweep.trials=0", *QUICK), "sweep.trials=0: should be"),
        (("-m", "sweep=optuna", "sweep.trails=3", *QUICK), "sweep.trails"),
        (("-m", "sweep=optuna", "sweep.space=nope", *QUICK), "sweep.space=nope: no such search space"),
        (("-m", "sweep=optuna", "sweep.sampler=nope", *QUICK), "sweep.sampler=nope"),
        (("-m", "sweep=optuna", "optimizer.lr=interval(0.1,0.01)", *QUICK), "its first bound should be below"),
        (("-m", "sweep=optuna", "optimizer.lr=interval(-1,0.01)", *QUICK), "optimizer.lr=-1.0"),
        (("-m", "sweep=optuna", "sweep.storage=nope", *QUICK), "sweep.storage=nope: is not a URL"),
        (("-m", "sweep=optuna", "sweep.storage=sqlite:////nowhere/a.db", *QUICK), "there is no folder /nowhere"),
        (("-m", "sweep=optuna", "sweep.storage=redis://u:secret@127.0.0.1:1/0", *QUICK), "cannot be reached"),
        (("-m", "sweep=optuna", "resume=auto", *QUICK), "resume: a sweep goes on by itself"),
        (("-m", "sweep=optuna,random", *QUICK), "one sweep at a time"),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(run: Run, arguments: tuple[str, ...], line: str) -> None:
    outcome = run("train", *arguments)
    assert outcome.code == 2
    assert line in outcome.err
    assert "secret" not in outcome.err + outcome.out
    assert len(outcome.err.splitlines()) == 1
    assert not Path("multirun").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("list", "nowhere"), "nowhere: there is no such directory"),
        (("best", "."), ".: not the directory of a sweep"),
        (("list", ".", "x=3"), "`list` does not take x=3"),
        (("nope",), "invalid choice: 'nope'"),
    ],
)
def test_a_wrong_use_of_sweeps(run: Run, arguments: tuple[str, ...], line: str) -> None:
    outcome = run("sweeps", *arguments)
    assert outcome.code == 2
    assert line in outcome.err.splitlines()[-1]
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("damage", ["{", "{}", "[]"])
def test_a_damaged_sweep_is_named(run: Run, damage: str, tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text(damage)
    outcome = run("sweeps", "resume", str(tmp_path))
    assert outcome.code == 2
    assert str(tmp_path) in outcome.err
    assert len(outcome.err.splitlines()) == 1


# As W&B documents sweep files: a parameter has a value, values, or a distribution with its bounds.
FORMS = (
    {"value"},
    {"values"},
    {"distribution", "min", "max"},
)
DISTRIBUTIONS = {"uniform", "int_uniform", "log_uniform_values", "q_uniform", "q_log_uniform_values"}


ALGORITHMS = sorted(path.stem for path in (Path(__file__).parents[2] / "conf" / "sweep" / "space").glob("*.yaml"))


@pytest.mark.parametrize(
    ("algorithm", "arguments"),
    [
        ("maml", ("sweep=optuna",)),
        ("finetune", ("sweep=random", "sweep.trials=3")),
        ("maml_plus_plus", ("sweep=grid",)),
    ],
)
def test_sweep_files_are_what_wandb_documents(run: Run, algorithm: str, arguments: tuple[str, ...]) -> None:
    outcome = run("sweep-config", f"algorithm={algorithm}", *arguments)
    assert outcome.code == 0, outcome.err
    config = yaml.safe_load(outcome.out)
    assert config.keys() <= {
        "program",
        "method",
        "metric",
        "parameters",
        "command",
        "name",
        "project",
        "entity",
        "run_cap",
    }
    for parameter in config["parameters"].values():
        assert parameter.keys() in FORMS
        assert parameter.get("distribution", "uniform") in DISTRIBUTIONS
    assert config["program"] == "metadialog"
    assert config["method"] == {"optuna": "bayes", "random": "random", "grid": "grid"}[arguments[0].split("=")[1]]
    assert config["metric"] == {"name": "meta_validation/loss_after", "goal": "minimize"}
    space = yaml.safe_load((Path(__file__).parents[2] / f"conf/sweep/space/{algorithm}.yaml").read_text())
    keys = {f"{group}.{name}" for group, options in space.items() if group != "defaults" for name in options}
    assert keys <= {*config["parameters"]}


def test_the_command_of_a_sweep_file_runs_and_reports_its_metric(
    run: Run, tmp_path: Path, read_wandb: Callable[[Path], Any]
) -> None:
    """A stand-in for `wandb agent`, which fills in the command and sets the run's id; the server chooses the values."""
    fixed = [option for option in QUICK if option != "logger=local"]
    outcome = run("sweep-config", "algorithm=fomaml", *fixed, "logger.mode=offline")
    config = yaml.safe_load(outcome.out)
    chosen = [f"{key}={choose(parameter)}" for key, parameter in config["parameters"].items()]
    command: list[str] = []
    for part in config["command"]:
        command += {"${env}": ["/usr/bin/env"], "${args_no_hyphens}": chosen}.get(part, [part])
    assert command[:3] == ["/usr/bin/env", "metadialog", "train"]
    folder = str(Path(sys.executable).parent)
    agents = {"WANDB_RUN_ID": "abc123xy", "WANDB_SWEEP_ID": "sweep123"}
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", **agents}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [directory] = (tmp_path / "outputs" / "train").glob("*/*")
    records = read_wandb(directory)
    assert any("meta_validation/loss_after" in row for row in records.history)
    assert list((directory / "wandb").glob("*-abc123xy")), list((directory / "wandb").iterdir())


def choose(parameter: dict[str, Any]) -> object:
    return parameter["values"][0] if "values" in parameter else parameter["min"]


def test_a_glob_sweeps_real_choices_only(run: Run) -> None:
    outcome = run("sweep-config", "sweep=grid", "algorithm=glob(*maml)")
    assert outcome.code == 0, outcome.err
    algorithms = ["fomaml", "low_rank_fomaml", "low_rank_maml", "maml"]
    assert yaml.safe_load(outcome.out)["parameters"]["algorithm"] == {"values": algorithms}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("logger=local",), "logger: a sweep of Weights & Biases learns from what its runs log there"),
        (("algorithm=nope",), "algorithm=nope: no such choice"),
        (("sweep=null",), "sweep=null: no such choice; valid: grid, optuna, random"),
        (("~sweep",), "choose sweep=optuna, sweep=random or sweep=grid"),
        (("-m",), "takes overrides and --config-dir, and no other flags"),
    ],
)
def test_what_no_sweep_file_can_be_made_of(run: Run, arguments: tuple[str, ...], line: str) -> None:
    outcome = run("sweep-config", *arguments)
    assert outcome.code == 2
    assert line in outcome.err
    assert outcome.out == ""
    assert re.match(r"metadialog sweep-config: .*\n\Z", outcome.err)
