"""`metadialog predict`: predictions of a finished run for a test specification."""

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from metadialog.datasets.chatterbot import ChatterbotDataset

Run = Callable[..., Any]


@pytest.fixture
def specification() -> Path:
    dialogues = list(islice(ChatterbotDataset(language="english").dialogues(), 8))
    lines = [
        {"support_dlgs": [d.id for d in dialogues[1:]], "target_dlg": dialogues[0].id, "predict_turn": 1},
        {"support_dlgs": [], "target_dlg": dialogues[2].id, "predict_turn": 1},
    ]
    path = Path("spec.txt").absolute()
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_every_line_is_answered_in_the_competitions_format(run: Run, specification: Path) -> None:
    trained = run("train", "debug=smoke", "logger=local", "model=lstm", "hydra.run.dir=trained")
    assert trained.code == 0, trained.err
    arguments = ("predict", "run=trained", f"specification={specification}", "algorithm.inner_steps=2")
    answers = []
    for name in ("one", "two"):
        outcome = run(*arguments, f"hydra.run.dir={name}")
        assert outcome.code == 0, outcome.err
        assert f"predictions: {Path(name).absolute() / 'predictions.jsonl'}" in outcome.out
        answers.append(Path(name, "predictions.jsonl").read_text(encoding="utf-8"))
    assert answers[0] == answers[1]
    asked = [json.loads(line) for line in specification.read_text().splitlines()]
    given = [json.loads(line) for line in answers[0].splitlines()]
    assert [(a["dlg_id"], a["predict_turn"]) for a in given] == [(a["target_dlg"], a["predict_turn"]) for a in asked]
    assert all(set(answer) == {"dlg_id", "predict_turn", "response"} for answer in given)


def metalwoz(folder: Path) -> Path:
    """Write hand-made dialogues in the layout of MetaLWOz; return a specification that requests one of them."""
    (folder / "dialogues").mkdir(parents=True)
    (folder / "tasks.txt").write_text(json.dumps({"task_id": "t", "domain": "SKI"}) + "\n")
    shared = {"user_id": "u", "bot_id": "b", "domain": "SKI", "task_id": "t", "turns": ["Hello?", "A pass.", "Done."]}
    lines = [json.dumps(shared | {"id": name}) for name in ("one", "two")]
    (folder / "dialogues" / "SKI.txt").write_text("\n".join(lines))
    path = Path("spec.txt").absolute()
    path.write_text(json.dumps({"support_dlgs": ["one"], "target_dlg": "two", "predict_turn": 2}))
    return path


def test_the_data_set_may_be_the_downloaded_copy(run: Run, tmp_path: Path) -> None:
    asked = (f"specification={metalwoz(tmp_path / 'cache' / 'downloads' / 'metalwoz' / 'files')}", "dataset=metalwoz")
    assert run("train", "debug=smoke", "logger=local", "hydra.run.dir=trained").code == 0
    missing = run("predict", "run=trained", *asked, f"cache={tmp_path / 'other'}")
    assert missing.code == 2
    assert missing.err.startswith("metadialog predict: dataset metalwoz: there is no downloaded copy in ")
    outcome = run("predict", "run=trained", *asked, f"cache={tmp_path / 'cache'}", "hydra.run.dir=answered")
    assert outcome.code == 0, outcome.err
    assert json.loads(Path("answered", "predictions.jsonl").read_text())["dlg_id"] == "two"


def test_a_specification_that_is_not_there_is_refused_at_once(run: Run) -> None:
    outcome = run("predict", "run=nowhere", "specification=nothing.txt")
    assert outcome.code == 2
    assert run("predict", "run=.", "specification=nothing.txt").err.count("\n") == 1


def test_a_dialogue_that_is_not_there_costs_one_line(run: Run, specification: Path) -> None:
    assert run("train", "debug=smoke", "logger=local", "hydra.run.dir=trained").code == 0
    outcome = run("predict", "run=trained", f"specification={specification}", "dataset.language=german")
    assert outcome.code == 2
    assert outcome.err.startswith(f"metadialog predict: {specification}:1: dialogue 'english/ai.yml:5' is not in")
    assert outcome.err.count("\n") == 1
