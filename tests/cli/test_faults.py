"""Regression tests of faults on the command line, as a user would meet them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

Run = Callable[..., Any]
SMALL = (
    "debug=smoke", "logger=local", "generation.max_tokens=4", "evaluation.shots=[1]", "evaluation.queries=2",
    "sampler.shots=1", "sampler.queries=2", "training.meta_batch=1", "training.steps=1",
)  # fmt: skip
FINISHED = Path(__file__).parents[1] / "fixtures" / "version_0_1_0" / "finished"
JSONL = ("dataset=jsonl", "split.min_dialogues=3", "evaluation.queries=1", "sampler.queries=1")
OWN_ALGORITHM = """\
from metadialog.algorithms.maml import MAML


class Louder(MAML):
    pass
"""


def process(*arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    command = [str(Path(sys.executable).with_name("metadialog")), *arguments]
    return subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def write_dialogues(path: Path) -> None:
    """Write four topics of four dialogues."""
    words = ["red", "blue", "green", "black", "white", "grey", "pink", "brown", "gold", "rose", "teal", "plum"]
    words += ["lime", "navy", "sand", "rust"]
    lines = []
    for number, word in enumerate(words):
        turns = [{"speaker": "a", "text": f"do you like {word}"}, {"speaker": "b", "text": f"{word} is fine"}]
        lines.append({"topic": f"t{number % 4}", "id": str(number), "turns": turns})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.usefixtures("run")
def test_of_two_starts_in_one_directory_the_loser_changes_nothing() -> None:
    """Whichever run gets the directory, all its content, including the composed config, is of that run."""
    starts = {name: process("train", *SMALL, f"algorithm={name}", "hydra.run.dir=here") for name in ("maml", "reptile")}
    errors = {name: start.communicate()[1].decode() for name, start in starts.items()}
    won = [name for name, start in starts.items() if start.returncode == 0]
    assert len(won) == 1, errors
    [lost] = starts.keys() - won
    assert starts[lost].returncode == 2
    assert "another process is writing this run" in errors[lost] or "holds a run already" in errors[lost]
    assert OmegaConf.load("here/config.yaml").algorithm.name == won[0]
    assert OmegaConf.load("here/.hydra/hydra.yaml").hydra.runtime.choices.algorithm == won[0]
    assert OmegaConf.load("here/.hydra/config.yaml").algorithm.name == won[0]


@pytest.mark.usefixtures("run")
def test_an_output_that_cannot_encode_a_character_fails_no_run() -> None:
    start = process("train", *SMALL, "dataset.language=chinese", "hydra.run.dir=here", PYTHONIOENCODING="latin-1")
    out, err = start.communicate()
    assert start.returncode == 0, err
    assert b"?" in out
    assert Path("here/adaptation.parquet").exists()


def test_an_override_may_hold_what_hydra_knows(run: Run) -> None:
    write_dialogues(Path("my.jsonl"))
    path = "dataset.path=${hydra:runtime.cwd}/my.jsonl"
    outcome = run("train", *SMALL, *JSONL, path, "cache=${hydra:runtime.output_dir}/cache", "hydra.run.dir=here")
    assert outcome.code == 0, outcome.err
    config = OmegaConf.load("here/config.yaml")
    assert config.dataset.path == str(Path("my.jsonl").absolute())
    assert config.cache == str(Path("here/cache").absolute())


def test_a_run_goes_on_from_another_folder_and_where_it_was_moved_to(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dialogues(Path("my.jsonl"))
    data = Path("my.jsonl").absolute()
    assert run("train", *SMALL, *JSONL, "dataset.path=my.jsonl", "hydra.run.dir=here").code == 0
    moved = Path("here").rename("moved").absolute()
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    for more in (["training.steps=2"], ["training.steps=3", f"dataset.path={data}"]):
        outcome = run("train", f"resume={moved}", *more)
        assert outcome.code == 0, outcome.err
        assert outcome.run_directory == moved
    assert OmegaConf.load(moved / "config.yaml").dataset.path == str(data)
    assert run("evaluate", f"run={moved}", "hydra.run.dir=again").code == 0
    assert not any(path.name == "outputs" for path in Path.cwd().iterdir())


def test_flags_may_stand_between_overrides(run: Run) -> None:
    outcome = run("train", "algorithm=maml", "-m", "seed=0,x")
    assert outcome.code == 2
    assert outcome.err.startswith("metadialog train: seed=x: should be a valid integer")


def test_a_job_that_would_change_the_folder_is_refused(run: Run) -> None:
    outcome = run("train", *SMALL, "hydra.job.chdir=true")
    assert outcome.code == 2
    assert outcome.err.startswith("metadialog train: hydra.job.chdir=true: relative paths")
    assert not any(Path.cwd().iterdir())


@pytest.mark.parametrize("device", ["cuda:17", "mps", "tpu", "cuda:x"])
def test_devices_that_are_not_there_are_named(run: Run, device: str) -> None:
    outcome = run("train", f"device={device}")
    assert outcome.code == 2
    assert outcome.err.startswith(f"metadialog train: device={device}: ")
    assert outcome.err.count("\n") == 1


def test_an_own_class_in_the_current_folder_is_used_everywhere(run: Run) -> None:
    """The console script finds a class in the current folder; `evaluate` does not fall back to the packaged class."""
    Path("loud.py").write_text(OWN_ALGORITHM)
    start = process("train", *SMALL, "algorithm._target_=loud.Louder", "hydra.run.dir=here")
    assert start.communicate()[1] == b""
    assert start.returncode == 0
    evaluated = run("evaluate", "run=here", "trust=[loud]", "hydra.run.dir=again")
    assert evaluated.code == 0, evaluated.err
    assert OmegaConf.load("again/config.yaml").algorithm._target_ == "loud.Louder"
    refused = run("evaluate", "run=here", "trust=[loud]", "algorithm._target_=metadialog.algorithms.maml.MAML")
    assert "the run was trained with loud.Louder; leave it out" in refused.err


def test_the_folder_of_further_configs_is_remembered(run: Run) -> None:
    group = Path("conf/algorithm")
    group.mkdir(parents=True)
    stock = OmegaConf.load(Path(__file__).parents[2] / "conf" / "algorithm" / "maml.yaml")
    OmegaConf.save({**stock, "inner_lr": 0.07}, group / "mine.yaml")
    assert run("train", *SMALL, "algorithm=mine", "--config-dir", "conf", "hydra.run.dir=here").code == 0
    for arguments in (["train", "resume=here", "training.steps=2"], ["evaluate", "run=here", "hydra.run.dir=again"]):
        outcome = run(*arguments)
        assert outcome.code == 0, outcome.err
    Path("conf").rename("elsewhere")
    outcome = run("evaluate", "run=here")
    assert outcome.code == 2
    assert f"was made with --config-dir {Path('conf').absolute()}, which is no longer there" in outcome.err
    assert OmegaConf.load("again/config.yaml").algorithm.inner_lr == 0.07
    assert OmegaConf.load("again/.hydra/hydra.yaml").hydra.runtime.choices.algorithm == "mine"


def test_what_is_refused_leaves_no_folder(run: Run) -> None:
    shutil.copytree(FINISHED, "here")
    Path("wrong.txt").write_text("nonsense\n")
    outcome = run("predict", "run=here", "specification=wrong.txt", "hydra.run.dir=deep/down")
    assert outcome.code == 2
    assert not Path("deep").exists()
    jobs = ("generation.max_tokens=1,2", "hydra.sweep.dir=sw", "hydra.sweep.subdir=a/${hydra.job.num}")
    outcome = run("predict", "-m", "run=here", "specification=wrong.txt", *jobs)
    assert outcome.code == 2
    assert [path.name for path in Path("sw").iterdir()] == ["multirun.yaml"]
    (Path("here") / "model" / "model.safetensors").write_bytes(b"")
    for named in (["hydra.run.dir=deep/down"], []):
        outcome = run("evaluate", "run=here", *named)
        assert outcome.code == 2
        assert {path.name for path in Path.cwd().iterdir()} == {"here", "sw", "wrong.txt"}


def test_without_a_home_nothing_else_is_printed(run: Run, cache: Path, tmp_path: Path) -> None:  # noqa: ARG001
    start = process(
        "train", *SMALL, "logger=wandb", "hydra.run.dir=here",
        HOME="/dev/null/nobody", WANDB_MODE="offline", METADIALOG_CACHE=str(cache), TMPDIR=str(tmp_path),
    )  # fmt: skip
    out, err = (text.decode() for text in start.communicate())
    assert start.returncode == 0, err
    assert not [line for line in (out + err).splitlines() if "INFO" in line or "ERROR" in line or "W&B" in line]
    assert list(tmp_path.glob("metadialog-home-*"))
