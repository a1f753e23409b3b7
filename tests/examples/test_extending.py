"""The examples of users' classes train, resume and evaluate, in their own folder."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import metadialog as md
from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.errors import RunError
from metadialog.trust import trusting

Run = Callable[..., Any]
BeforeStep = Callable[[Callable[[int], None]], AbstractContextManager[None]]
EXTENDING = Path(__file__).parents[2] / "examples" / "extending"
CONF = ("--config-dir", "conf")
DEBUG = (*CONF, "debug=smoke", "logger=local")
TRUST = "trust=[my_dialogue]"
CHOICES = {
    "algorithm": ("algorithm=robust_maml", "training.steps=3"),
    "model": ("model=normalised_gru", "algorithm=anil", "training.steps=3"),
    "metric": ("evaluation=word_recall", "training.steps=3"),
    "dataset": ("dataset=transcripts", "dataset.root=transcripts", "training.steps=3"),
}


@pytest.fixture
def folder(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:  # noqa: ARG001 - changes to an empty folder
    """The working directory, with the examples and real transcripts."""
    here = Path.cwd()
    shutil.copytree(EXTENDING, here, dirs_exist_ok=True)
    (here / "transcripts").mkdir()
    for dialogue in ChatterbotDataset(language="english").dialogues():
        lines = [f"{turn.speaker}: {' '.join(turn.text.split())}" for turn in dialogue.turns]
        with (here / "transcripts" / f"{dialogue.topic}.txt").open("a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield here
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_dialogue"]:
        del sys.modules[name]


def numbers(directory: Path) -> pd.DataFrame:
    records: pd.DataFrame = pd.read_parquet(directory / "adaptation.parquet")
    return records


@pytest.mark.parametrize("choice", CHOICES)
def test_it_trains_resumes_and_evaluates(run: Run, folder: Path, before_step: BeforeStep, choice: str) -> None:
    options = (*DEBUG, *CHOICES[choice])
    whole = run("train", *options)
    assert whole.code == 0, whole.err

    def stop(step: int) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with before_step(stop):
        assert run("train", *options, "hydra.run.dir=broken").code == 130
    resumed = run("train", "resume=broken", TRUST)
    assert resumed.code == 0, resumed.err
    pd.testing.assert_frame_equal(numbers(folder / "broken"), numbers(whole.run_directory), check_exact=True)
    evaluated = run("evaluate", "run=broken", TRUST)
    assert evaluated.code == 0, evaluated.err
    pd.testing.assert_frame_equal(numbers(evaluated.run_directory), numbers(whole.run_directory), check_exact=True)


def test_a_metric_of_ones_own_is_a_column_of_records_and_tables(run: Run, folder: Path) -> None:
    directory = run("train", *DEBUG, "evaluation=word_recall", "hydra.run.dir=measured").run_directory
    values = numbers(directory).set_index("inner_step")["word_recall"]
    assert values[[0, 1]].between(0, 1).all()
    (folder / "my_dialogue" / "word_recall.py").write_text("raise SystemExit('imported')")
    del sys.modules["my_dialogue.word_recall"]
    table = run("table", "runs=measured", "metrics=[word_recall]")
    assert table.code == 0, table.err
    assert "word recall" in table.out


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (
            "{loss: {_target_: my_dialogue.word_recall.WordRecall}}",
            "metrics.loss: the records already have a column",
        ),
        ("{mine: {_target_: my_dialogue.transcripts.Transcripts, root: ., language: en}}", "is not a reply metric"),
        ("{mine: {_target_: my_dialogue.word_recall.WordRecall, better: lowest}}", "evaluation.metrics.mine.better"),
        ("{Mine: {_target_: my_dialogue.word_recall.WordRecall}}", "evaluation.metrics"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_is_no_metric_is_refused(run: Run, node: str, message: str) -> None:
    refused = run("train", *DEBUG, f"+evaluation.metrics={node}")
    assert refused.code == 2
    assert message in refused.err


def test_a_run_that_somebody_else_made_imports_nothing(run: Run, folder: Path) -> None:
    directory = run("train", *DEBUG, *CHOICES["algorithm"], "hydra.run.dir=made").run_directory
    (folder / "my_dialogue" / "robust_maml.py").write_text("raise SystemExit('imported')")
    del sys.modules["my_dialogue.robust_maml"]
    refused = run("evaluate", f"run={directory}")
    assert refused.code == 2
    assert "trust=[my_dialogue]" in refused.err


def test_the_console_script_finds_a_class_in_the_current_folder(folder: Path) -> None:
    script = Path(sys.executable).with_name("metadialog")
    arguments = ["data", *CONF, "dataset=transcripts", "dataset.root=transcripts"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [script, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_processes_cannot_share_what_nobody_has_said_can_be_shared(folder: Path) -> None:
    """Without `additive = False`, weights that compare tasks would silently give other numbers with two processes."""
    module = folder / "my_dialogue" / "robust_maml.py"
    lines = module.read_text("utf-8").splitlines(keepends=True)
    module.write_text("".join(line for line in lines if "additive" not in line), "utf-8")
    script = Path(sys.executable).with_name("torchrun")
    arguments = ["--nproc-per-node", "2", "--no-python", "metadialog", "train", *DEBUG, *CHOICES["algorithm"]]
    environment = os.environ | {"PATH": f"{script.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [script, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode != 0
    assert "RobustMAML has an outer_step of its own, and does not say" in done.stdout + done.stderr


STATE = '''
import torch
from metadialog.algorithms.base import OuterStep
from metadialog.algorithms.maml import MAML

class Forgetful(MAML):
    """Its inner rate falls with every outer step, in a plain attribute."""
    def outer_step(self, model, episodes, step):
        self.inner_lr *= 0.5
        return super().outer_step(model, episodes, step)

class Remembering(MAML):
    """The same, in a buffer."""
    def prepare(self, model):
        self.learned.register_buffer("decay", torch.ones(()))
        return super().prepare(model)
    def inner_loop(self, model, steps, scale=1.0):
        return super().inner_loop(model, steps, scale * self.learned.decay)
    def outer_step(self, model, episodes, step):
        self.learned.decay *= 0.5
        return super().outer_step(model, episodes, step)

class Caching(MAML):
    """What it keeps changes no result."""
    caches = ("steps_seen",)
    def outer_step(self, model, episodes, step):
        self.steps_seen = step
        return super().outer_step(model, episodes, step)

class Idle(MAML):
    def outer_step(self, model, episodes, step):
        return OuterStep(1.0, 1.0, 1.0)

class NoAlgorithm:
    def __init__(self, tools, *, name, inner_lr, inner_steps, first_order, reduction):
        self.name = name
'''


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Forgetful", "algorithm=maml: training changes its attribute inner_lr, which checkpoints do not hold"),
        ("Idle", "algorithm=maml: its outer_step has set the `.grad` of no parameter"),
        ("NoAlgorithm", "algorithm._target_: 'own.NoAlgorithm' is no Algorithm"),
        ("Remembering", None),
        ("Caching", None),
    ],
)
def test_what_an_own_algorithm_does_wrong_costs_one_line(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str | None
) -> None:
    (folder / "own.py").write_text(STATE)
    monkeypatch.delitem(sys.modules, "own", raising=False)
    yaml = f"defaults: [maml, _self_]\n_target_: own.{name}\n"
    (folder / "conf" / "algorithm" / "own.yaml").write_text(yaml)
    outcome = run("train", *DEBUG, "algorithm=own", "hydra.run.dir=made")
    if message is None:
        assert outcome.code == 0, outcome.err
    else:
        assert outcome.code == 2, outcome.out
        assert message in outcome.err
        assert "Traceback" not in outcome.err
    if name == "Remembering":
        evaluated = run("evaluate", "run=made", "trust=[own]")
        assert evaluated.code == 0, evaluated.err
        pd.testing.assert_frame_equal(numbers(evaluated.run_directory), numbers(folder / "made"), check_exact=True)


RETRIEVER = '''
from metadialog.algorithms.baselines import ZeroShot

class Latest(ZeroShot):
    """Answers what was answered last in the dialogues that it is shown."""
    def retriever(self):
        return lambda context, exchanges: [exchange.response for exchange in reversed(exchanges)]
'''
SHOWN = [["what do you eat", "electricity, mostly"], ["are you hungry", "always", "why", "I am a robot"]]


def test_a_retriever_of_ones_own_replies_from_the_dialogues(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "own.py").write_text(RETRIEVER)
    monkeypatch.delitem(sys.modules, "own", raising=False)
    (folder / "conf" / "algorithm" / "own.yaml").write_text("defaults: [zero_shot, _self_]\n_target_: own.Latest\n")
    trained = run("train", *DEBUG, "algorithm=own", "hydra.run.dir=made")
    assert trained.code == 0, trained.err
    with pytest.raises(RunError, match=r"own\.Latest.*trust=\[own\]"):
        md.load_model(folder / "made")
    with trusting("own"):
        model = md.load_model(folder / "made")
        adapted = model.adapt(SHOWN)
        adapted.save(folder / "saved")
        for one in (adapted, md.load_model(folder / "saved")):
            assert one.reply("hello") == "I am a robot"
            assert one.reply("hello", n=2) == ["I am a robot", "why"]
            assert "".join(one.stream("hello")) == "I am a robot"
        assert model.reply("hello") == ""  # it has been shown nothing
    (folder / "contexts.jsonl").write_text('{"context": "hello"}')
    told = run("generate", "run=saved", "input=contexts.jsonl", TRUST.replace("my_dialogue", "own"))
    assert told.code == 0, told.err
    assert json.loads(told.out)["reply"] == "I am a robot"
