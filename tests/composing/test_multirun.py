"""The jobs of a sweep, before it starts."""

from pathlib import Path

import pytest

from metadialog.composing.compose import as_job, initialised
from metadialog.composing.multirun import jobs_to_check, product, sweep_template
from metadialog.errors import ConfigError

pytestmark = pytest.mark.usefixtures("hydra")


def test_each_value_is_checked_once_beside_the_first_of_the_others() -> None:
    overrides = ["debug=smoke", "seed=0,1,2", "model=gru,lstm"]
    assert list(jobs_to_check(overrides, "train", multirun=True)) == [
        ["debug=smoke", "seed=0", "model=gru"],
        ["debug=smoke", "seed=1", "model=gru"],
        ["debug=smoke", "seed=2", "model=gru"],
        ["debug=smoke", "seed=0", "model=lstm"],
    ]


def test_a_single_job_is_checked_as_it_is() -> None:
    assert list(jobs_to_check(["seed=0,1"], "train", multirun=False)) == [["seed=0,1"]]


def test_what_the_config_itself_sweeps_is_checked_too(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    swept = "# @package _global_\nhydra:\n  sweeper:\n    params:\n      seed: 3,4\n"
    (tmp_path / "study" / "seeds.yaml").write_text(swept)
    with initialised("train", str(tmp_path)):
        jobs = list(jobs_to_check(["+study=seeds", "model=gru"], "train", multirun=True))
    assert jobs == [["+study=seeds", "model=gru", "seed=3"], ["+study=seeds", "model=gru", "seed=4"]]


def test_a_sweep_without_a_list_of_values_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"optimizer\.lr=interval\(0,1\): this sweep has no list of values"):
        list(jobs_to_check(["optimizer.lr=interval(0,1)"], "train", multirun=True))


def test_the_product_has_every_job_with_its_number() -> None:
    overrides = ["seed=0,1", "training.steps=1,2", "hydra.sweep.dir=sw", "hydra.sweep.subdir=s${seed}-${hydra.job.num}"]
    names = []
    for config in product("train", overrides):
        with as_job(config):
            names.append((config.seed, config.training.steps, str(config.hydra.sweep.subdir)))
    assert names == [(0, 1, "s0-0"), (0, 2, "s0-1"), (1, 1, "s1-2"), (1, 2, "s1-3")]
    assert sweep_template("train", overrides) == (Path("sw"), "s${seed}-${hydra.job.num}")


def test_what_another_sweeper_will_try_is_not_known() -> None:
    from hydra_plugins.metadialog_sweeper.sweeper import register

    register()
    assert list(product("train", ["sweep=random", "algorithm.inner_lr=0.1,0.2"])) == []
