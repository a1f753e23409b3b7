"""The check of a config against the signatures of the classes that it names."""

from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Len
from omegaconf import OmegaConf

from metadialog import config
from metadialog.errors import ConfigError


class Engine:
    def __init__(self, *, chunk: Annotated[int, Ge(1)]) -> None:
        if chunk == 13:
            raise ConfigError("engine.chunk=13: unlucky; any other number will do")


class Learner:
    def __init__(
        self,
        engine: Engine,
        *,
        lr: Annotated[float, Gt(0)],
        steps: Annotated[int, Ge(1)],
        kind: Literal["first", "second"],
        parts: list[str] | None,
        names: Annotated[list[str], Len(1)],
    ) -> None: ...


def command(*, engine: dict[str, Any], learner: dict[str, Any], seed: Annotated[int, Ge(0)]) -> None: ...


def several(*, engines: dict[str, dict[str, Any]], others: list[dict[str, Any]]) -> None: ...


HERE = __name__
NODE: dict[str, Any] = {
    "_target_": f"{HERE}.command",
    "engine": {"_target_": f"{HERE}.Engine", "chunk": 2},
    "learner": {"_target_": f"{HERE}.Learner", "lr": 0.1, "steps": 3, "kind": "first", "parts": None, "names": ["a"]},
    "seed": 0,
}


def changed(path: str, value: object) -> dict[str, Any]:
    node = OmegaConf.create(NODE)
    OmegaConf.update(node, path, value, force_add=True)
    return config.plain(node)


def test_nodes_inside_plain_mappings_and_lists_are_checked() -> None:
    good, bad, unlucky = ({"_target_": f"{HERE}.Engine", "chunk": chunk} for chunk in (1, 0, 13))
    node = {"_target_": f"{HERE}.several", "engines": {"one": good, "two": bad}, "others": [{"inner": unlucky}]}
    with pytest.raises(ConfigError) as caught:
        config.check(node)
    assert str(caught.value).splitlines() == [
        "engines.two.chunk=0: should be greater than or equal to 1",
        "engine.chunk=13: unlucky; any other number will do",
    ]


@pytest.mark.parametrize(("path", "value"), [("learner.parts", ["a", "b"]), ("learner.lr", 1), ("seed", 7)])
def test_what_fits_passes(path: str, value: object) -> None:
    config.check(changed(path, value))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("learner.lr", 0, "learner.lr=0: should be greater than 0"),
        ("learner.lr", "fast", "learner.lr=fast: should be a valid number"),
        ("learner.lr", None, "learner.lr=null: should be a valid number"),
        ("learner.lr", float("inf"), "learner.lr=inf: should be a finite number"),
        ("learner.lr", float("nan"), "learner.lr=nan: should be a finite number"),
        ("learner.names", [], "learner.names=[]: should have at least 1 item"),
        ("learner.lr", True, "learner.lr=True: should be a valid number"),
        ("learner.steps", 2.0, "learner.steps=2.0: should be a valid integer"),
        ("learner.steps", "3", "learner.steps=3: should be a valid integer"),
        ("learner.kind", "third", "learner.kind=third: should be 'first' or 'second'"),
        ("learner.parts", "a", "learner.parts=a: should be"),
        ("learner.parts", [1], "learner.parts=[1]: should be"),
        ("learner.lrr", 1, "learner.lrr: no such option; did you mean learner.lr?"),
        ("chunk", 1, "chunk: no such option; did you mean engine.chunk?"),
        ("seed", "???", "seed: must be given (integer), as seed=..."),
        ("engine.chunk", 13, "engine.chunk=13: unlucky; any other number will do"),
        ("engine._target_", "nowhere.Engine", "engine._target_: 'nowhere.Engine' cannot be imported"),
        ("engine._target_", f"{HERE}.NODE", f"engine._target_: '{HERE}.NODE' is not a class or a function"),
    ],
)
def test_what_does_not_fit_costs_one_line(path: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.check(changed(path, value))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_an_option_that_its_yaml_forgot_is_named() -> None:
    node = {**NODE, "engine": {"_target_": f"{HERE}.Engine"}}
    with pytest.raises(ConfigError, match=r"^engine.chunk: is missing in its yaml, or was removed by ~engine.chunk$"):
        config.check(node)


def test_all_mistakes_are_named() -> None:
    node = changed("learner.lr", -1)
    node["seed"] = -1
    node["engine"]["chink"] = 3
    with pytest.raises(ConfigError) as caught:
        config.check(node)
    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["engine.chink", "learner.lr=-1", "seed=-1"]


def test_build_passes_the_components_own_errors_through() -> None:
    assert isinstance(config.build(NODE["learner"], config.build(NODE["engine"])), Learner)
    with pytest.raises(ConfigError, match="unlucky"):
        config.build({**NODE["engine"], "chunk": 13})


def test_an_interpolation_that_points_nowhere_names_its_key() -> None:
    with pytest.raises(ConfigError, match=r"^learner.lr: .*nowhere"):
        config.plain(OmegaConf.create({"learner": {"lr": "${nowhere}"}}))
