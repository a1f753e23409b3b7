"""Configs are composed as in Hydra's application, and Hydra's global state is restored."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from metadialog.composing.compose import Composed, compose_job, initialised, running_job
from metadialog.errors import ConfigError
from metadialog.hydra_internals import GlobalHydra, HydraConfig
from metadialog.runs import layout

Compose = Callable[[Sequence[str]], Composed]


def test_hydra_is_as_it_was_afterwards() -> None:
    before = GlobalHydra.instance().hydra
    with initialised("train"):
        outer = GlobalHydra.instance().hydra
        assert outer is not None
        with initialised("data"):
            assert GlobalHydra.instance().hydra is not outer
        assert GlobalHydra.instance().hydra is outer
        with pytest.raises(ConfigError), initialised("train", "no folder"):
            pass
        assert GlobalHydra.instance().hydra is outer
    assert GlobalHydra.instance().hydra is before


def test_a_folder_of_further_configs_comes_after_ours(tmp_path: Path) -> None:
    (tmp_path / "optimizer").mkdir()
    for name in ("own", "adam"):
        (tmp_path / "optimizer" / f"{name}.yaml").write_text("lr: 7\n")
    with initialised("train", str(tmp_path)):
        assert compose_job("train", ["optimizer=own"]).optimizer == {"lr": 7}
        assert "_target_" in compose_job("train", ["optimizer=adam"]).optimizer


def test_a_mistake_is_a_config_error_that_names_it(composed: Compose) -> None:
    with pytest.raises(ConfigError, match=r"^optimizer=adma: no such choice; did you mean adam"):
        composed(["optimizer=adma"])
    with pytest.raises(ConfigError, match=r"^optimizer\.lrr: no such option; did you mean optimizer\.lr\?"):
        composed(["optimizer.lrr=1"])


def test_the_directory_is_in_the_config_that_is_resolved_for_it(composed: Compose, tmp_path: Path) -> None:
    job = composed(["cache=${hydra:runtime.output_dir}/cache", "hydra.run.dir=here"])
    assert job.resolve()["cache"] == str(Path("here/cache").absolute())
    assert job.resolve(tmp_path)["cache"] == str(tmp_path / "cache")
    assert "hydra" not in job.resolve()


def test_the_directory_has_the_time_at_which_it_is_asked_for(composed: Compose) -> None:
    job = composed([])
    assert job.directory() != job.directory()
    assert job.directory().is_absolute()


def test_what_is_written_composes_to_the_same(composed: Compose, tmp_path: Path) -> None:
    job = composed(["model=lstm", "seed=3", "hydra.run.dir=here"])
    assert job.is_single()
    job.write(tmp_path)
    assert OmegaConf.load(layout.hydra_config(tmp_path)) == job.task
    assert job.task.model._target_.endswith("DialogModel")
    assert OmegaConf.load(layout.hydra_overrides(tmp_path)) == job.overrides == ["model=lstm", "seed=3"]
    settings = OmegaConf.load(layout.hydra_settings(tmp_path)).hydra
    assert settings.runtime.output_dir == str(tmp_path)
    assert settings.runtime.choices.model == "lstm"


def test_a_sweep_is_no_single_job(composed: Compose) -> None:
    assert not composed(["hydra.mode=MULTIRUN"]).is_single()


def test_a_running_job_has_the_config_that_hydra_gave_it(composed: Compose, tmp_path: Path) -> None:
    config = composed(["seed=4"]).config
    config.hydra.runtime.output_dir = str(tmp_path)
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)
    try:
        job, directory = running_job(Composed(config).task)
    finally:
        HydraConfig.instance().cfg = before
    assert (job.resolve()["seed"], directory) == (4, tmp_path)
