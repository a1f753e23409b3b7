"""A folder of configs that is named in a run directory can only set options, not run code."""

from pathlib import Path

import pytest

from metadialog.composing.remembered import check_dispensable, check_remembered, check_start
from metadialog.errors import RunError

CHOICES = {"optimizer": "own", "hydra/launcher": "basic"}


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_options_are_allowed(tmp_path: Path) -> None:
    write(tmp_path, "optimizer/own.yaml", "defaults: [base, _self_]\nlr: 0.1\n")
    write(tmp_path, "optimizer/base.yaml", "_target_: metadialog.optimizers.outer.adam\n")
    write(tmp_path, "optimizer/unused.yaml", "lr: ${oc.env:HOME}\n")
    check_remembered(tmp_path, CHOICES, Path("run"))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("hydra/launcher/basic.yaml", "x: 1", "the folder hydra replaces settings of Hydra"),
        ("train.yaml", "seed: 1", "train.yaml replaces the packaged one"),
        ("optimizer/own.yaml", "# @package _global_\nseed: 1", "puts its options elsewhere (@package)"),
        ("optimizer/own.yaml", "lr: ${oc.env:HOME}", "asks for values from outside"),
        ("optimizer/own.yaml", "- 1", "holds no keys and values"),
        ("optimizer/own.yaml", "defaults: [/model: gru]", "has a default from another group"),
        ("optimizer/own.yaml", "_target_: os.system", "_target_ names 'os.system', not a class of metadialog."),
    ],
)
def test_what_may_do_more_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    write(tmp_path, name, text)
    with pytest.raises(RunError) as caught:
        check_remembered(tmp_path, CHOICES, Path("run"))
    assert message in str(caught.value)


def test_packaged_choices_need_no_folder(tmp_path: Path) -> None:
    check_dispensable(tmp_path / "gone", {"optimizer": "adam", "dataset/cleaning": "standard"}, Path("run"))
    with pytest.raises(RunError, match=r"^run: was made with --config-dir .*gone, .* and optimizer=own was in it; "):
        check_dispensable(tmp_path / "gone", {"optimizer": "own", "model": "gru"}, Path("run"))


def test_what_is_typed_now_needs_no_check(tmp_path: Path) -> None:
    evil = "hydra.job.env_set.PATH=/nowhere"
    check_start(["sweep=random", evil], [evil], tmp_path)
    with pytest.raises(RunError, match="if that was you, give it once more behind the directory"):
        check_start(["sweep=random", evil], ["seed=1"], tmp_path)
