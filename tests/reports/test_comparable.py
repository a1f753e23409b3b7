"""Runs that are not comparable, and the messages about them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from metadialog.errors import RunError
from metadialog.reports.comparable import check_comparable, row_differences
from metadialog.reports.runs import read_runs

MakeRun = Callable[..., Path]


def refusal(place: Path) -> str:
    runs, _ = read_runs([place], "refuse")
    with pytest.raises(RunError) as refused:
        check_comparable(runs)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "other"}, "the data set is talk in "),
        ({"options": {"split.seed": 7}}, "split.seed is 0 in "),
        ({"language": "de"}, "the texts' language is en in "),
        ({"language": "zh"}, "the signature of bleu is "),
        ({"support": "t", "options": {"evaluation.seed": 3}}, "the held-out episodes with 1 shot differ between "),
        ({"support": "t", "options": {"evaluation.seed": 3}}, "(evaluation.seed 0 and 3)"),
        ({"shots": (3,)}, "shots are 1, 5 in "),
        ({"words": 29}, "the scored words of the same episodes differ between "),
    ],
)
def test_other_data_and_other_episodes_are_refused(
    make_run: MakeRun, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    first, second = make_run("finetune", 0), make_run("maml", 0, **changes)
    found = refusal(tmp_path)
    assert found.startswith("the runs are not comparable: ")
    assert message in found
    assert str(first) in found
    assert str(second) in found


def test_all_differences_are_named_together(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("finetune", 0)
    make_run("maml", 0, dataset="other", options={"split.seed": 7})
    found = refusal(tmp_path)
    assert "the data set is" in found
    assert "split.seed is" in found


def test_other_tokenizers_models_and_numbers_of_shots_are_allowed_and_told(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("finetune", 0)
    make_run("maml", 0, shots=(5, 10), options={"tokenizer.vocab_size": 999, "model.hidden_size": 7})
    runs, _ = read_runs([tmp_path], "refuse")
    check_comparable(runs)
    varied = row_differences(runs)
    assert set(varied) == {"tokenizer.vocab_size", "model.hidden_size"}
    assert varied["model.hidden_size"]["maml"] == "7"


def test_a_row_is_one_config(make_run: MakeRun, tmp_path: Path) -> None:
    first = make_run("maml", 0)
    second = make_run("maml", 1, options={"training.steps": 9, "algorithm.inner_lr": 0.5})
    found = refusal(tmp_path)
    assert found.startswith("algorithm maml: its runs differ in algorithm.inner_lr (0.3 in ")
    assert f"training.steps (120 in {first}, 9 in {second})" in found


@pytest.mark.parametrize(("value", "is_one_row"), [("stop", True), ("skip", False)])
def test_an_option_that_an_earlier_run_lacks_stands_at_its_default(
    make_run: MakeRun, tmp_path: Path, value: str, is_one_row: bool
) -> None:
    earlier = make_run("maml", 0)
    make_run("maml", 1, options={"training.nan": value})
    config = OmegaConf.load(earlier / "config.yaml")
    del config.training.nan
    OmegaConf.save(config, earlier / "config.yaml")
    if is_one_row:
        check_comparable(read_runs([tmp_path], "refuse")[0])
    else:
        assert "training.nan (stop in " in refusal(tmp_path)


def test_where_a_run_was_made_does_not_count(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("maml", 0)
    make_run("maml", 1, options={"device": "cpu", "threads": 2, "cache": "elsewhere"})
    runs, _ = read_runs([tmp_path], "refuse")
    check_comparable(runs)
    assert row_differences(runs) == {}


def test_another_name_is_another_row(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("maml", 0)
    make_run("maml", 0, options={"algorithm.name": "maml (warm)", "training.steps": 9})
    runs, _ = read_runs([tmp_path], "refuse")
    check_comparable(runs)
    assert {run.algorithm for run in runs} == {"maml", "maml (warm)"}
    assert set(row_differences(runs)) == {"training.steps"}


def test_a_seed_counts_once(make_run: MakeRun, tmp_path: Path) -> None:
    first, second = make_run("maml", 3), make_run("maml", 3)
    found = refusal(tmp_path)
    assert found == f"algorithm maml: seed 3 is there twice, in {first} and {second}; leave one out"


def test_runs_that_others_started_from_count_by_their_configs(make_run: MakeRun, tmp_path: Path) -> None:
    """Each seed starts from the run of the same seed: these have different paths, but one config."""
    sources = [make_run("finetune", seed, place="joint") for seed in (0, 1)]
    other = make_run("finetune", 2, place="joint", options={"training.steps": 5})
    runs = [make_run("maml", seed) for seed in (0, 1)]
    for run, source in zip(runs, sources, strict=True):
        config = OmegaConf.load(run / "config.yaml")
        OmegaConf.update(config, "start.run", str(source))
        OmegaConf.save(config, run / "config.yaml")
    check_comparable(read_runs(runs, "refuse")[0])
    OmegaConf.update(config, "start.run", str(other))
    OmegaConf.save(config, run / "config.yaml")
    assert "start.run:training.steps (120 in " in refusal(tmp_path / "runs")
