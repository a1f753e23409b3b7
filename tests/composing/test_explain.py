"""Hydra's errors become one line that names the override and similar valid names."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from metadialog.composing.compose import compose_job
from metadialog.composing.explain import check_choices, explain
from metadialog.errors import ConfigError

Compose = Callable[[Sequence[str]], Any]


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model=[gru,lstmm]", "model=lstmm: no such choice; did you mean lstm"),
        ("model=[gru,lstm]", "model=[gru,lstm]: should be one choice; for a run of each write -m model=gru,lstm"),
        ("debug=smok", "debug=smok: no such choice; did you mean smoke"),
    ],
)
def test_a_choice_that_is_not_there(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.split(";", maxsplit=1)[0].replace("[", r"\[")) as caught:
        check_choices(["seed=1", override])
    assert str(caught.value).startswith(message)


@pytest.mark.usefixtures("hydra")
def test_what_is_there_or_is_several_is_no_wrong_choice() -> None:
    check_choices(["model=lstm", "model=gru,nothing", "+model=[gru,lstm]", "~debug", "seed=1", "a b"])


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("x", "'x' cannot be read as key=value: "),
        ("dataset.path=a b(", "dataset.path: 'a b(' cannot be read, as Hydra gives some signs a meaning; if it is a "),
        ("model=gru,lstm", "model=gru,lstm: several values are a sweep; add -m to run a job for each"),
        ("seed=1,2", "seed=1,2: several values are a sweep; add -m to run a job for each, or write seed=[...] for "),
        ("trainning.steps=1", "trainning.steps: no such option; did you mean training"),
        ("training.step=1", "training.step: no such option; did you mean training.steps?"),
        ("lr=1", "lr: no such option; did you mean optimizer.lr?"),
    ],
)
def test_an_override_that_does_not_compose(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose_job("train", ["seed=1", override])
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("hydra")
def test_what_no_override_explains_is_the_first_line_of_the_error() -> None:
    assert str(explain(ValueError("first\nsecond"), "train", ["seed=1"])) == "first"
    assert str(explain(ValueError(), "train", [])) == "ValueError"
