"""Every mistake is reported in one line, with exit code 2, and nothing is written."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

MISTAKES = [
    (
        ["train", "model=lsttm"],
        "model=lsttm: no such choice; did you mean lstm? valid: gru, hred, lstm, pretrained, rnn",
    ),
    (["train", "algorithm.inner_ler=1"], "algorithm.inner_ler: no such option; did you mean algorithm.inner_lr"),
    (["train", "+algorithm.lrr=3"], "algorithm.lrr: no such option"),
    (["train", "lr=0.1"], "lr: no such option; did you mean optimizer.lr?"),
    (["train", "algorithm.inner_lr=0"], "algorithm.inner_lr=0: should be greater than 0"),
    (["train", "algorithm.inner_lr=fast"], "algorithm.inner_lr=fast: should be a valid number"),
    (["train", "sampler.queries=2.5"], "sampler.queries=2.5: should be a valid integer"),
    (["train", "sampler.loss_on=everything"], "sampler.loss_on=everything: should be 'response' or 'all'"),
    (["train", "dataset.language=klingon"], "dataset.language=klingon: no such language"),
    (["train", "dataset=jsonl"], "dataset.path: must be given (string), as dataset.path=..."),
    (["train", "algorithm=maml,fomaml"], "algorithm=maml,fomaml: several values are a sweep; add -m"),
    (["train", "-m", "seed=0,1,x"], "seed=x: should be a valid integer"),
    (["train", "-m", "model=gru,lsttm"], "model=lsttm: no such choice; did you mean lstm?"),
    (["train", "debug=smok"], "debug=smok: no such choice; did you mean smoke? valid: smoke"),
    (["train", "-m", "debug=smok", "seed=0,1"], "debug=smok: no such choice; did you mean smoke? valid: smoke"),
    (["train", "debug=smoke", "trainning.steps=5"], "trainning.steps: no such option; did you mean training?"),
    (["train", "debug=smoke", "modle=gru"], "modle: no such option; did you mean model?"),
    (["train", "debug=smoke", "experiment=foo"], "experiment: no such option; "),
    (["train", "debug=smoke", "+seed=1"], "Could not append to config. An item is already at 'seed'."),
    (["train", "model=null"], "model=null: no such choice; valid: gru, hred, lstm, pretrained, rnn"),
    (["train", "training=5"], "training=5: no such choice; valid: standard"),
    (["data", "split=null"], "split=null: no such choice; "),
    (["train", "~model"], "model: is missing in its yaml, or was removed by ~model"),
    (["data", "model=gru"], "model: no such option; options of the top level: cache, dataset, download, output, split"),
    (["train", "seed=99999999999999999999"], "seed=99999999999999999999: should be less than 4294967296"),
    (["train", "threads=99999999999"], "threads=99999999999: should be less than or equal to 1024"),
    (["train", "generation=sampling", "generation.temperature=inf"], "generation.temperature=inf: should be a finite"),
    (["train", "split.test=nan"], "split.test=nan: should be a finite number"),
    (["train", "logger.project=a/b"], "logger.project=a/b: should match pattern"),
    (["train", "logger.tags=['']"], "logger.tags=['']: should have at least 1 character"),
    (["train", f"logger.tags=[{'x' * 65}]"], f"logger.tags=['{'x' * 65}']: should have at most 64 characters"),
    (["train", "evaluation.shots=[]"], "evaluation.shots=[]: should have at least 1 item"),
    (["train", "dataset=jsonl", "dataset.path=no.jsonl"], "no.jsonl: cannot be read: there is no such file; "),
    (
        ["train", "dataset=jsonl", "dataset.path=."],
        ".: is a folder; dataset.path should name a file; dataset=auto reads",
    ),
    (["train", "dataset=sgd", "dataset.root=no"], "no: cannot be read: there is no such folder or zip file; "),
    (
        ["train", "dataset=jsonl", "dataset.path=数据.jsonl"],
        "数据.jsonl: cannot be read: there is no such file; dataset.path should name one",
    ),
    (["train", "resume="], "resume=: is empty; it should be the directory of a run"),
    (["train", "hydra.run.dir="], "hydra.run.dir=: is empty; it should name a directory"),
    (["evaluate", "-m", "run=a,b"], "run=a,b: one run at a time; write a loop over them, and leave out -m"),
    (["train", "hydra.run.dir=/dev/null/run"], "hydra.run.dir=/dev/null/run: /dev/null is a file; hydra.run.dir"),
    (["bench", "output=/dev/null/bench"], "output=/dev/null/bench: /dev/null is a file; output should be"),
    (["train", "engine=vectorized", "inner=momentum"], "engine=vectorized: supports only DialogModel"),
    (["train", "algorithm=anil", "engine=lean", "inner.clip_norm=1"], "engine=lean: supports only "),
    (["train", "algorithm=meta_curvature", "engine=lean"], "engine=lean: algorithm=meta_curvature is learn2learn's"),
    (
        ["train", "algorithm=alfa", "engine=vectorized"],
        (
            "engine=vectorized: supports only DialogModel with cross-entropy and plain gradient descent, "
            "not an inner loop of ALFAUpdate; engine=functional, "
        ),
    ),
    (["train", "algorithm=alfa", "inner=adam"], "inner: algorithm=alfa generates the rates and the weight decay of "),
    (["bench", "bench.threads=100000"], "bench.threads=100000: should be less than or equal to 1024"),
    (["train", "modle=gru"], "modle: no such option; did you mean model?"),
    (["train", "seed"], "'seed' cannot be read as key=value"),
    (["train", "evaluation.report_steps=[0,20]"], "evaluation.report_steps: [20] is beyond evaluation.steps=10"),
    (["train", "split.test=0.9"], "split.validation=0.2 and split.test=0.9: leave no topic for meta-train"),
    (["train", "split=all_held_out"], "split: leaves no topic to train on; choose split=seeded"),
    (["data", "dataset=sgd"], "dataset sgd: there is no downloaded copy in "),
    (["data", "dataset=sgd", "dataset.root=x", "dataset.topic=intent"], "dataset.topic=intent: should be 'domain' or"),
    (["train", "resume=nowhere"], "resume=nowhere: there is no such directory"),
    (["train", "--config-dir", "nowhere"], "--config-dir nowhere: there is no such directory"),
    (["train", "model._target_=os.nothing"], "model._target_: 'os.nothing' cannot be imported"),
    (["evaluate"], "run: must be given (string), as run=..."),
    (["evaluate", "run=nowhere"], "run=nowhere: there is no such directory"),
    (["data", "dataset.langage=chinese"], "dataset.langage: no such option; did you mean dataset.language?"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[" ".join(arguments) for arguments, _ in MISTAKES])
def test_a_mistake_costs_one_line(run: Run, arguments: list[str], message: str) -> None:
    outcome = run(*arguments)
    assert outcome.code == 2
    assert outcome.err.startswith(f"metadialog {arguments[0]}: {message}")
    assert outcome.err.count("\n") == 1
    assert outcome.out == ""
    assert list(Path.cwd().iterdir()) == []


def test_all_mistakes_are_named_at_once(run: Run) -> None:
    outcome = run("train", "seed=-1", "+model.depth=3", "optimizer.lr=0", "training.steps=many")
    assert outcome.code == 2
    lines = outcome.err.splitlines()
    assert len(lines) == 4
    for name in ("seed=-1", "model.depth", "optimizer.lr=0", "training.steps=many"):
        assert sum(f"metadialog train: {name}" in line for line in lines) == 1


def test_a_missing_file_costs_one_line(run: Run) -> None:
    outcome = run("data", "dataset=jsonl", "dataset.path=nowhere.jsonl")
    assert outcome.code == 2
    assert outcome.err.startswith("metadialog data: nowhere.jsonl: cannot be read")
    assert outcome.err.count("\n") == 1


def test_what_it_says_of_a_path_that_hydra_cannot_read_can_be_pasted(run: Run) -> None:
    name = "数据 (1),x=2 'a'.jsonl"
    lines = [json.dumps({"topic": f"t{n % 3}", "turns": [f"q{n}", f"a{n}"]}) for n in range(30)]
    Path(name).write_text("\n".join(lines))
    refused = run("data", "dataset=jsonl", f"dataset.path={name}")
    assert refused.code == 2
    (pasted,) = shlex.split(refused.err.rpartition("quote it: ")[2])
    described = run("data", "dataset=jsonl", pasted)
    assert described.code == 0, described.err


def test_full_errors_can_be_asked_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(Exception, match="no such choice"):
        run("train", "model=lsttm")
