"""The config of an earlier run is converted to overrides; the user's overrides come last."""

import shutil
from pathlib import Path

import pytest
import yaml

from metadialog.composing.earlier_run import inherit
from metadialog.errors import ConfigError, RunError
from metadialog.overrides import quote

FINISHED = Path(__file__).parents[1] / "fixtures" / "version_0_1_0" / "finished"


@pytest.fixture
def made_with_a_folder(tmp_path: Path) -> Path:
    """A run whose optimizer comes from a folder of `--config-dir`."""
    run = tmp_path / "made"
    shutil.copytree(FINISHED, run)
    settings = run / ".hydra" / "hydra.yaml"
    content = yaml.safe_load(settings.read_text())
    source = {"path": str(tmp_path / "mine"), "schema": "file", "provider": "command-line"}
    content["hydra"]["runtime"]["config_sources"].append(source)
    content["hydra"]["runtime"]["choices"]["optimizer"] = "own"
    settings.write_text(yaml.safe_dump(content))
    return run


@pytest.mark.parametrize("command", ["train", "evaluate", "data"])
def test_nothing_is_taken_over_where_no_run_is_named(command: str) -> None:
    assert inherit(command, ["seed=1"]).overrides == ["seed=1"]
    assert inherit("train", ["resume=null", "seed=1"]).overrides == ["resume=null", "seed=1"]
    assert inherit("train", ["resume=auto"]).overrides == ["resume=auto"]


def test_resume_takes_all_over_and_goes_on_there() -> None:
    *taken, directory, typed, more = inherit("train", [f"resume={FINISHED}", "seed=7"]).overrides
    assert (directory, typed, more) == (f"hydra.run.dir={quote(str(FINISHED))}", f"resume={FINISHED}", "seed=7")
    assert {"optimizer=adam", "optimizer.lr=0.005", "model.hidden_size=8", "seed=0"} <= {*taken}
    assert not [line for line in taken if line.startswith(("resume=", "_target_"))]


def test_an_evaluation_takes_over_what_the_results_depend_on() -> None:
    overrides = inherit("evaluate", [f"run={FINISHED}", "evaluation.steps=2"]).overrides
    assert overrides[-2:] == [f"run={FINISHED}", "evaluation.steps=2"]
    groups = {line.partition("=")[0].partition(".")[0] for line in overrides}
    assert {"algorithm", "dataset", "evaluation", "generation", "sampler", "split", "seed"} <= groups
    assert groups.isdisjoint({"optimizer", "training", "logger", "device"})


def test_a_choice_of_ones_own_brings_its_own_options() -> None:
    overrides = inherit("evaluate", [f"run={FINISHED}", "split=explicit"]).overrides
    assert [line for line in overrides if line.startswith("split")] == ["split=explicit"]


@pytest.mark.parametrize(
    ("command", "overrides", "message"),
    [
        ("train", ["resume="], "resume=: is empty; it should be the directory of a run"),
        ("train", ["resume=nowhere"], "resume=nowhere: there is no such directory"),
        ("evaluate", ["run=a,b"], "run=a,b: one run at a time"),
        ("evaluate", [f"run={FINISHED.parent}"], "not the directory of a run"),
        ("evaluate", [f"run={FINISHED}", "algorithm=reptile"], "the run was trained with algorithm=maml"),
        (
            "evaluate",
            [f"run={FINISHED}", "algorithm._target_=my.Own"],
            "algorithm._target_=my.Own: the run was trained",
        ),
    ],
)
def test_what_cannot_be_taken_over_is_refused(command: str, overrides: list[str], message: str) -> None:
    with pytest.raises((ConfigError, RunError)) as caught:
        inherit(command, overrides)
    assert message in str(caught.value)


def test_the_folder_of_further_configs_is_remembered(made_with_a_folder: Path) -> None:
    folder = made_with_a_folder.parent / "mine"
    folder.mkdir()
    assert inherit("train", [f"resume={made_with_a_folder}"]).remembered_config_dir() == str(folder)
    assert inherit("train", [f"resume={FINISHED}"]).remembered_config_dir() is None


def test_a_folder_that_is_gone_is_named_where_it_is_needed(made_with_a_folder: Path) -> None:
    with pytest.raises(RunError) as caught:
        inherit("train", [f"resume={made_with_a_folder}"]).remembered_config_dir()
    folder = made_with_a_folder.parent / "mine"
    assert str(caught.value) == (
        f"{made_with_a_folder}: was made with --config-dir {folder}, which is no longer there, and optimizer=own was "
        "in it; bring it back, or name the folder where its configs are now: --config-dir ..."
    )
    # An evaluation needs no optimizer.
    assert inherit("evaluate", [f"run={made_with_a_folder}"]).remembered_config_dir() is None
