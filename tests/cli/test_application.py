"""How a command starts and ends: imports, early exits, and output."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

Run = Callable[..., Any]
BeforeStep = Callable[[Callable[[int], None]], AbstractContextManager[None]]
SMOKE = ("debug=smoke", "logger=local")
DIVERGING = ("algorithm.inner_lr=1e6", "algorithm.inner_steps=5", "inner.weight_decay=1e3")


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["train", "--help"], "lstm"),
        (["train", "model=lsttm"], "lstm"),
        (["-sc", "query=bash"], "lstm"),
        (["data"], "meta-train (10 topics)"),
    ],
)
def test_torch_is_not_imported_before_it_is_needed(arguments: list[str], shown: str) -> None:
    script = (
        f"import sys; from metadialog import cli\ntry: cli.main({arguments})\nfinally: print('torch' in sys.modules)"
    )
    environment = {**os.environ, "COMP_LINE": "metadialog train model="}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.splitlines()[-1] == "False"
    assert shown in done.stdout + done.stderr


@pytest.mark.parametrize("mode", ["local", "wandb"])
def test_a_batch_system_may_end_a_run(
    run: Run, before_step: BeforeStep, read_wandb: Callable[..., Any], mode: str
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    logger = ["logger=local"] if mode == "local" else ["logger.mode=offline"]
    with before_step(lambda _: os.kill(os.getpid(), signal.SIGTERM)):
        outcome = run("train", "debug=smoke", *logger, "hydra.run.dir=ended")
    assert outcome.code == 143
    assert outcome.err.endswith("metadialog train: terminated\n")
    status = json.loads(Path("ended/status.json").read_text())
    assert (status["status"], status["reason"]) == ("failed", "Terminated: by signal 15")
    assert signal.getsignal(signal.SIGTERM) is before
    if mode == "wandb":
        assert read_wandb(Path("ended")).exit_code == 1


def test_a_reader_that_goes_away_ends_a_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "metadialog", "train", *SMOKE, "hydra.run.dir=cut", "training.steps=2000"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode == 141
    assert errors == ""
    status = json.loads((tmp_path / "cut" / "status.json").read_text())
    assert status["status"] == "failed"
    assert status["reason"].startswith("BrokenPipeError")


def test_the_status_says_what_was_typed(run: Run) -> None:
    typed = ("train", *SMOKE, "logger=local", "hydra.run.dir=a run")
    assert run(*typed).code == 0
    assert json.loads(Path("a run/status.json").read_text())["command"] == shlex.join(["metadialog", *typed])
    again = ("evaluate", "run='a run'", "hydra.run.dir=again")
    assert run(*again).code == 0
    assert json.loads(Path("again/status.json").read_text())["command"] == shlex.join(["metadialog", *again])


def test_nothing_is_wrapped_where_there_is_no_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    outcome = run("train", *SMOKE)
    assert outcome.code == 0, outcome.err
    assert "Word perplexity on held-out topics, maml, 5 shots, by inner steps" in outcome.out
    assert "dropped for too few dialogues: health (1), history (8)\n" in outcome.out


def test_what_topics_are_called_is_not_markup(run: Run) -> None:
    topics = ["[/red]", "[bold]", "[a]", "[b]"]
    lines = [json.dumps({"topic": topics[n % 4], "turns": [f"q{n}", f"a{n}"]}) for n in range(48)]
    Path("my.jsonl").write_text("\n".join(lines))
    data = ("dataset=jsonl", "dataset.path=my.jsonl")
    split = ("split=explicit", "split.train=['[a]']", "split.validation=['[b]']", "split.test=['[/red]','[bold]']")
    outcome = run("train", *SMOKE, *data, *split)
    assert outcome.code == 0, outcome.err
    for topic in ("[/red]", "[bold]"):
        assert sum(topic in line for line in outcome.out.splitlines()) == 2
    described = run("data", *data)
    assert described.code == 0, described.err
    assert all(topic in described.out for topic in topics)


def test_a_model_larger_than_the_memory_costs_one_line(run: Run) -> None:
    outcome = run("train", *SMOKE, "model.hidden_size=1000000")
    assert outcome.code == 2
    assert outcome.err.startswith("metadialog train: model: has ")
    assert outcome.err.count("\n") == 1


def test_a_validation_that_is_never_a_number_costs_one_line(run: Run) -> None:
    outcome = run("train", *SMOKE, "algorithm=finetune", *DIVERGING, "hydra.run.dir=nan")
    assert outcome.code == 2
    assert outcome.err == (
        "metadialog train: no validation loss after adaptation was finite in 2 steps; "
        "lower algorithm.inner_lr or algorithm.inner_steps\n"
    )
    assert json.loads(Path("nan/status.json").read_text())["status"] == "failed"


def test_too_many_shots_are_named_by_the_option_that_asks_for_them(run: Run) -> None:
    outcome = run("train", *SMOKE, "sampler.shots=2", "sampler.queries=200", "evaluation.queries=2")
    assert outcome.code == 2
    assert "sampler.queries=200" in outcome.err
    assert "evaluation.queries=200" not in outcome.err


def test_an_experiment_of_ones_own_overrides_groups_and_values(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "study" / "experiment"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /split: explicit\n  - override /algorithm: fomaml\n"
        "split:\n  train: [ai, food]\n  validation: [humor]\n  test: [movies]\nsampler:\n  shots: 2\n  queries: 2\n"
    )
    study = ("--config-dir", str(folder.parent), "+experiment=mine")
    outcome = run("train", *study, "debug=smoke", "logger=local", "split.test=[emotion]")
    assert outcome.code == 0, outcome.err
    records = pd.read_parquet(outcome.run_directory / "adaptation.parquet")
    assert (set(records["algorithm"]), set(records["topic"]), set(records["shots"])) == ({"fomaml"}, {"emotion"}, {2})
    wrong = run("train", *study, "split.tset=[emotion]", "logger=local")
    assert wrong.code == 2
    assert "split.tset: no such option; did you mean split.test?" in wrong.err
