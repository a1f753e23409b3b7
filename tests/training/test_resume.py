from typing import Any

import pytest

from metadialog.errors import RunError
from metadialog.training.resume import check_same_run

OLD: dict[str, Any] = {
    "seed": 0,
    "training": {"steps": 10, "meta_batch": 4},
    "logger": {"_target_": "local"},
    "model": {"cell": "gru", "hidden_size": 8},
    "resume": None,
}


def changed(**parts: object) -> dict[str, Any]:
    return {**OLD, "resume": "outputs/one", **parts}


@pytest.mark.parametrize(
    "new",
    [
        changed(),
        changed(training={"steps": 20, "meta_batch": 4}),
        changed(logger={"_target_": "wandb", "mode": "offline"}),
        changed(_target_="metadialog.commands.train.train"),
    ],
)
def test_how_long_and_where_to_may_change(new: dict[str, Any]) -> None:
    check_same_run(OLD, new)


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (changed(seed=1), "seed is 1 but was 0"),
        (changed(model={"cell": "lstm", "hidden_size": 8}), "model.cell is 'lstm' but was 'gru'"),
        (changed(training={"steps": 10, "meta_batch": 5}), "training.meta_batch is 5 but was 4"),
        (changed(model={"cell": "gru"}), "model.hidden_size is None but was 8"),
    ],
)
def test_anything_else_is_named(new: dict[str, Any], message: str) -> None:
    with pytest.raises(RunError, match=r"^resume=outputs/one: a run is resumed with the config it was ") as caught:
        check_same_run(OLD, new)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
