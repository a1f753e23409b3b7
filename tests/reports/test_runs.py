"""The search for runs, and those that are refused before the comparison."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from metadialog.errors import RunError
from metadialog.reports.runs import read_runs
from metadialog.runs import records as written

MakeRun = Callable[..., Path]


def test_trees_are_searched_and_runs_come_in_natural_order(make_run: MakeRun, tmp_path: Path) -> None:
    for number in (10, 2):
        make_run("maml", number, place=f"sweep/{number}")
    first = make_run("zero_shot", 0, place="alone")
    found, skipped = read_runs([tmp_path / "sweep", first, tmp_path], "refuse")
    assert [run.seed for run in found] == [2, 10, 0]
    assert skipped == []
    run = found[0]
    assert (run.algorithm, run.language, run.cost) == ("maml", "en", None)
    assert sorted(run.episodes) == [1, 5]
    assert len(run.episodes[1]) == 18
    assert "13a" in run.signatures["bleu"]


def test_the_keys_beside_the_records_are_those_that_are_written() -> None:
    keys = (written.EPISODES_KEY, written.METRICS_KEY, written.LANGUAGE_KEY)
    assert keys == (b"metadialog.episodes", b"metadialog.metrics", b"metadialog.language")


def test_no_directory_and_no_run_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"runs=.*nowhere: there is no such directory"):
        read_runs([tmp_path / "nowhere"], "refuse")
    with pytest.raises(RunError, match=r"holds no run of metadialog train"):
        read_runs([tmp_path], "refuse")


@pytest.mark.parametrize("state", ["failed", "running"])
def test_unfinished_runs_are_refused_or_skipped(make_run: MakeRun, tmp_path: Path, state: str) -> None:
    make_run("maml", 0)
    broken = make_run("maml", 1, state=state)
    with pytest.raises(RunError) as refused:
        read_runs([tmp_path], "refuse")
    reason = " (ConfigError: no)" if state == "failed" else ""
    assert str(refused.value) == f"not finished: {broken}: {state}{reason}; unfinished=skip leaves such runs out"
    found, skipped = read_runs([tmp_path], "skip")
    assert [run.seed for run in found] == [0]
    assert skipped == [f"{broken}: {state}{reason}"]


def test_nothing_but_unfinished_runs_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("maml", 0, state="failed")
    with pytest.raises(RunError, match="no run here is finished"):
        read_runs([tmp_path], "skip")


def test_a_job_that_failed_before_it_began_is_named(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("maml", 0)
    never = tmp_path / "runs" / "never"
    (never / ".hydra").mkdir(parents=True)
    (never / ".hydra" / "config.yaml").write_text("_target_: metadialog.commands.train.train\n")
    with pytest.raises(RunError, match=r"never: failed before it began"):
        read_runs([tmp_path], "refuse")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("status.json", "{", "status.json: no readable status of a run"),
        ("status.json", "[]", "status.json: no status of a run: it should be an object"),
        ("status.json", '{"state": 1}', "status.json: no status of a run"),
        ("config.yaml", "a: [", "config.yaml: no readable config"),
        ("adaptation.parquet", "PAR1", "adaptation.parquet: no readable records"),
        ("cost.json", "x", "cost.json: no readable cost of a run"),
    ],
)
def test_damaged_files_are_named(make_run: MakeRun, tmp_path: Path, file: str, content: str, message: str) -> None:
    (make_run("maml", 0) / file).write_text(content)
    with pytest.raises(RunError) as refused:
        read_runs([tmp_path], "refuse")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_records_that_are_missing_are_named(make_run: MakeRun, tmp_path: Path) -> None:
    (make_run("maml", 0) / "adaptation.parquet").unlink()
    with pytest.raises(RunError, match=r"adaptation\.parquet: there is no such file"):
        read_runs([tmp_path], "refuse")


def test_costs_are_read_where_there_are_any(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("maml", 0, cost={"tokens": 5})
    [run], _ = read_runs([tmp_path], "refuse")
    assert run.cost == {"meta_train": {"tokens": 5}}
    assert json.loads((run.path / "cost.json").read_text()) == run.cost
