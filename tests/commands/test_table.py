"""`metadialog table` as a command, on runs of `metadialog train`."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

Run = Callable[..., Any]
QUICK = ("resamples=200", "output=report")
FILES = {
    "table.md", "table.tex", "table_document.tex", "table.csv", "table.html", "differences.csv", "topics.csv",
    "curves.png", "curves.svg",
    "curves.pdf", "shots.pdf", "topics.pdf",
    "shots.png", "topics.png", "report.html",
}  # fmt: skip


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two algorithms with two seeds each, trained for two steps."""
    place = tmp_path_factory.mktemp("sweep")
    command = [
        sys.executable, "-m", "metadialog", "train", "-m", "debug=smoke", "logger=local",
        "algorithm=maml,zero_shot", "seed=0,1", "generation.max_tokens=4", "training.meta_batch=2",
        f"hydra.sweep.dir={place}",
    ]  # fmt: skip
    subprocess.run(command, cwd=place, check=True, capture_output=True)
    return place


def test_a_sweep_becomes_a_report(run: Run, sweep: Path) -> None:
    outcome = run("table", f"runs={sweep}", *QUICK)
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    files = {path.name for path in Path("report").iterdir()}
    assert files - {"cost.png", "cost.pdf"} == FILES
    table = pd.read_csv("report/table.csv")
    assert set(table["algorithm"]) == {"maml", "zero_shot"}
    assert set(table["seeds"]) == {2}
    records = pd.concat(pd.read_parquet(path) for path in sweep.glob("*/adaptation.parquet"))
    part = records[(records["algorithm"] == "maml") & (records["inner_step"] == 1)]
    of_maml = table[(table["algorithm"] == "maml") & (table["metric"] == "loss") & (table["inner_step"] == 1)]
    assert of_maml["mean"].tolist() == pytest.approx([(part["loss"] * part["tokens"]).sum() / part["tokens"].sum()])
    assert "2 algorithms, 2 seeds each, 5 held-out topics" in outcome.out
    assert "Beware. 2 seeds" in outcome.out
    assert "zero_shot does not adapt" in outcome.out
    assert outcome.out.rstrip().endswith("report: report/report.html")
    page = Path("report/report.html").read_text()
    assert "metadialog train -m debug=smoke" in page
    assert "nrefs:1|case:mixed" in page
    assert {path.name for path in Path.cwd().iterdir()} == {"report"}


def test_each_run_of_a_sweep_has_a_cost_of_its_own(sweep: Path) -> None:
    """All runs are executed in one process, one after another."""
    costs = {path.parent.name: json.loads(path.read_text()) for path in sweep.glob("*/cost.json")}
    assert len(costs) == 4
    for number, cost in costs.items():
        name = pd.read_parquet(sweep / number / "adaptation.parquet")["algorithm"].iloc[0]
        assert (cost["evaluation"]["tokens"] > 0) == (name == "maml")  # without inner steps there is no adaptation
        if sys.platform == "linux":
            # A process that imports torch uses several times as much.
            assert cost["meta_train"]["peak_bytes"] < 200 * 2**20


def test_runs_may_be_a_list_and_a_report_is_written_over(run: Run, sweep: Path) -> None:
    Path("report").mkdir()
    Path("report/table.csv").write_text("old")
    assert run("table", f"runs=[{sweep}/0,{sweep}/2,{sweep}/3]", *QUICK).code == 0
    assert pd.read_csv("report/table.csv").groupby("algorithm")["seeds"].first().to_dict() == {
        "maml": 1,
        "zero_shot": 2,
    }


def test_torch_and_wandb_are_not_imported(sweep: Path, tmp_path: Path) -> None:
    arguments = ["table", f"runs={sweep}", *QUICK]
    script = (
        f"import sys; from metadialog import cli\ncode = cli.main({arguments})\n"
        "print(code, 'torch' in sys.modules, 'wandb' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "0 False False", done.stderr


def test_wandb_gets_the_tables_and_figures(run: Run, sweep: Path, read_wandb: Callable[..., Any]) -> None:
    outcome = run("table", f"runs={sweep}", *QUICK, "logger=wandb", "logger.mode=offline")
    assert outcome.code == 0, outcome.err
    records = read_wandb(Path("report"))
    assert records.exit_code == 0
    logged = {key: value["_type"] for row in records.history for key, value in row.items() if isinstance(value, dict)}
    assert {"curves", "shots", "topics"} <= {name for name, kind in logged.items() if kind == "image-file"}
    assert {name for name, kind in logged.items() if kind == "table-file"} >= {"scores", "differences", "topic_scores"}
    assert logged["report"] == "html-file"
    assert records.config["resamples"] == {"value": 200} or records.config["resamples"] == 200
    assert records.run.display_name == "table-chatterbot-english"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runs=nowhere"], "runs=nowhere: there is no such directory; give a run directory or a directory of them"),
        (["runs=empty"], "runs=empty: holds no run of metadialog train or evaluate, here or further down"),
        ([], "runs: must be given"),
        (["runs=SWEEP", "metrics=[blue]"], "metrics: blue: no such metric; valid: word_perplexity"),
        (["runs=SWEEP", "shots=[7]"], "shots=[7]: no run has records of shots 7; there are 5"),
        (["runs=SWEEP", "steps=[2]"], "steps=[2]: no run has records of steps 2; there are 0, 1"),
        (["runs=SWEEP", "resamples=1"], "resamples=1: should be greater than or equal to 100"),
        (["runs=SWEEP", "test=ttest"], "test=ttest: should be 'bootstrap', 'permute_topics' or 'permute_episodes'"),
        (["runs=SWEEP", "output=file"], "output=file: file is a file; output should be a directory"),
    ],
)
def test_mistakes_cost_one_line_and_leave_nothing(run: Run, sweep: Path, arguments: list[str], message: str) -> None:
    Path("empty").mkdir()
    Path("file").touch()
    outcome = run("table", *(one.replace("SWEEP", str(sweep)) for one in arguments))
    assert outcome.code == 2
    assert outcome.err.startswith(f"metadialog table: {message}")
    assert outcome.err.count("\n") == 1
    assert {path.name for path in Path.cwd().iterdir()} == {"empty", "file"}


def test_runs_that_cannot_be_compared_are_refused_in_one_line(run: Run, sweep: Path) -> None:
    shutil.copytree(sweep / "2", "other")
    config = Path("other/config.yaml")
    config.write_text(config.read_text().replace("min_dialogues: 10", "min_dialogues: 8"))
    outcome = run("table", f"runs=[{sweep},other]", *QUICK)
    assert outcome.code == 2
    assert outcome.err.startswith("metadialog table: the runs are not comparable: split.min_dialogues is 10 in ")
    assert "8 in other; make a table of each" in outcome.err
    assert outcome.err.count("\n") == 1
    assert not Path("report").exists()


def test_a_run_evaluated_again_is_the_same_seed_twice(run: Run, sweep: Path) -> None:
    assert run("evaluate", f"run={sweep}/0", "hydra.run.dir=again").code == 0
    outcome = run("table", f"runs=[{sweep}/0,again]", *QUICK)
    assert outcome.code == 2
    assert outcome.err == (
        f"metadialog table: algorithm maml: seed 0 is there twice, in {sweep}/0 and again; leave one out\n"
    )


def test_an_interrupted_run_is_named_or_skipped(run: Run, sweep: Path) -> None:
    broken = Path("broken")
    broken.mkdir()
    status = json.loads((sweep / "0" / "status.json").read_text())
    (broken / "status.json").write_text(json.dumps({**status, "status": "failed", "reason": "KeyboardInterrupt"}))
    refused = run("table", f"runs=[{sweep},broken]", *QUICK)
    assert refused.code == 2
    assert refused.err == (
        "metadialog table: not finished: broken: failed (KeyboardInterrupt); unfinished=skip leaves such runs out\n"
    )
    skipped = run("table", f"runs=[{sweep},broken]", "unfinished=skip", *QUICK)
    assert skipped.code == 0, skipped.err
    assert "left out: broken: failed (KeyboardInterrupt)" in skipped.out
    assert "Left out: broken" in Path("report/table.md").read_text()
    assert os.listdir("broken") == ["status.json"]  # noqa: PTH208
