"""Starting points of the outer loop: options, and names in tables."""

from typing import Any

import pytest

from metadialog.config import build, check
from metadialog.errors import ConfigError
from metadialog.starts.start import Cold, FromRun, Joint, Start

NODE = "metadialog.starts.start."


@pytest.mark.parametrize(
    ("node", "kind", "expected"),
    [
        ({"_target_": f"{NODE}Cold"}, Cold, ("", 0, None)),
        ({"_target_": f"{NODE}Joint", "steps": 7}, Joint, ("_warm", 7, None)),
        ({"_target_": f"{NODE}FromRun", "run": "made"}, FromRun, ("_warm", 0, "made")),
    ],
)
def test_what_each_start_says(node: dict[str, Any], kind: type[Start], expected: tuple[str, int, str | None]) -> None:
    check(node, "start")
    start: Start = build(node)
    assert type(start) is kind
    assert (start.suffix, start.steps, start.run) == expected


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"_target_": f"{NODE}Joint", "steps": 0}, "start.steps=0: should be greater than or equal to 1"),
        ({"_target_": f"{NODE}FromRun", "run": "???"}, "start.run: must be given"),
        ({"_target_": f"{NODE}FromRun", "run": ""}, "start.run=: should have at least 1 character"),
        ({"_target_": f"{NODE}Cold", "steps": 3}, "start.steps: no such option"),
    ],
)
def test_what_does_not_fit_is_refused(node: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(node, "start")
    assert str(caught.value).startswith(message)


def test_joint_training_has_its_default_in_the_yaml() -> None:
    assert Joint().steps == 120
    with pytest.raises(TypeError, match=r"FromRun\(\): run: must be given"):
        FromRun()
