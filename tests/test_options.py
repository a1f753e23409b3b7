"""Options are declared once, inherited, and have their defaults in the yaml only."""

import re
from abc import ABC, abstractmethod
from importlib.resources import files
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated, Any

import pytest
from annotated_types import Ge, Gt
from torch import nn

from metadialog import config
from metadialog.algorithms.anil import ANIL
from metadialog.algorithms.baselines import FineTuning
from metadialog.algorithms.maml import MAML
from metadialog.algorithms.maml_plus_plus import MAMLPlusPlus
from metadialog.engines.auto import AutoEngine
from metadialog.errors import ConfigError
from metadialog.inner.adam import Adam
from metadialog.options import FROM_YAML, Options, defaults, packaged_defaults, required, schema, supplied

HERE = __name__
Rate = Annotated[float, Gt(0)]
FOLDER = Path(str(files("metadialog.conf").joinpath("train.yaml"))).parent


class Base(Options, ABC):
    tools: str
    rate: Rate
    steps: Annotated[int, Ge(1)]

    @abstractmethod
    def work(self) -> None: ...


class Child(Base):
    size: int

    def __post_init__(self) -> None:
        if self.size == 13:
            raise ConfigError("size=13: any other number is valid")

    def work(self) -> None: ...


class Fixed(Child):
    size = 4
    steps: Annotated[int, Ge(0)]


class Grandchild(Fixed):
    extra: bool


class OwnConstructor(MAML):
    def __init__(self, *arguments: Any, extra: Annotated[int, Ge(1)] = 3, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.extra = extra


class BelowOwnConstructor(OwnConstructor):
    pass


class Layer(nn.Module):
    def __init__(self, vocab_size: int, *, width: Annotated[int, Gt(0)]) -> None:
        super().__init__()
        self.width = vocab_size + width


class WiderLayer(Layer):
    def __init__(self, vocab_size: int, *, times: Annotated[int, Gt(0)], **options: Any) -> None:
        super().__init__(vocab_size, **options)
        self.width *= times


def test_options_are_inherited() -> None:
    assert schema(Child) == {"tools": str, "rate": Rate, "steps": Annotated[int, Ge(1)], "size": int}
    child = Child(tools="none", rate=0.5, steps=2, size=3)
    assert (child.tools, child.rate, child.steps, child.size) == ("none", 0.5, 2, 3)


def test_a_plain_attribute_fixes_an_option_and_an_annotation_changes_it() -> None:
    assert schema(Grandchild) == {"tools": str, "rate": Rate, "steps": Annotated[int, Ge(0)], "extra": bool}
    options: dict[str, Any] = {"tools": "", "rate": 1.0, "steps": 0, "extra": True}
    assert Grandchild(**options).size == 4
    with pytest.raises(TypeError, match="size"):
        Grandchild(**options, size=1)


def test_a_constructor_passes_the_options_of_its_parents_on() -> None:
    assert schema(OwnConstructor) == {"extra": Annotated[int, Ge(1)], **schema(MAML)}
    assert schema(BelowOwnConstructor) == schema(OwnConstructor)
    assert required(OwnConstructor) == required(MAML)
    made = BelowOwnConstructor(inner_lr=0.5)
    assert (made.extra, made.inner_lr, made.inner_steps) == (3, 0.5, MAML().inner_steps)
    assert schema(WiderLayer) == {"times": Annotated[int, Gt(0)], "width": Annotated[int, Gt(0)]}
    assert supplied(WiderLayer) == ("vocab_size",)
    assert WiderLayer(3, times=2, width=4).width == 14


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, None),
        ({"extra": 5}, None),
        ({"extra": 0}, "extra=0: should be greater than or equal to 1"),
        ({"inner_lr": -1}, "inner_lr=-1: should be greater than 0"),
        ({"inner_lrr": 1}, "inner_lrr: no such option; did you mean node.inner_lr"),
        ({"inner_steps": "???"}, "inner_steps: must be given (integer)"),
    ],
)
def test_the_check_knows_inherited_options(change: dict[str, Any], message: str | None) -> None:
    node = {"_target_": f"{HERE}.BelowOwnConstructor", **packaged_defaults(MAML), **change}
    if message is None:
        config.check(node, "node")
    else:
        with pytest.raises(ConfigError) as caught:
            config.check(node, "node")
        assert str(caught.value).startswith(f"node.{message}")
        assert "\n" not in str(caught.value)


def test_the_check_finds_what_post_init_refuses() -> None:
    node = {"_target_": f"{HERE}.Child", "tools": "", "rate": 0.1, "steps": 1, "size": 13}
    with pytest.raises(ConfigError, match="any other number is valid"):
        config.check(node, "node")
    del node["rate"]
    with pytest.raises(ConfigError, match=r"^node.rate: is missing in its yaml"):
        config.check(node, "node")


def test_what_a_call_leaves_out_is_in_the_yaml() -> None:
    assert vars(MAML(inner_lr=0.25)).items() >= {**packaged_defaults(MAML), "inner_lr": 0.25}.items()
    assert MAML().tools.engine.name == "auto"
    assert AutoEngine(memory=3).memory == 3
    # From the yaml that the yaml of the class extends.
    assert packaged_defaults(ANIL) == {**packaged_defaults(MAML), "name": "anil", "adapted": ["head"]}
    assert Adam().weight_decay == 0
    assert "first_order" not in packaged_defaults(MAMLPlusPlus)
    assert FineTuning().inner_steps == 3


def test_lists_from_a_yaml_are_not_shared() -> None:
    Adam().frozen.append("linear.bias")
    assert Adam().frozen == []


def test_what_no_yaml_has_must_be_given() -> None:
    class Unknown(MAML):
        temperature: Rate = FROM_YAML

    with pytest.raises(TypeError, match=r"Unknown\(\): temperature: must be given"):
        Unknown()
    assert Unknown(temperature=2.0).inner_lr == MAML().inner_lr


def named_in_yaml() -> list[str]:
    texts = (path.read_text("utf-8") for path in FOLDER.rglob("*.yaml"))
    return [match[1] for text in texts if (match := re.search(r"^_target_: *(\S+)", text, re.MULTILINE))]


def test_every_class_is_named_in_one_yaml_by_its_own_name() -> None:
    names = named_in_yaml()
    assert len(set(names)) == len(names)
    for name in names:
        target = resolve_name(name)
        assert f"{target.__module__}.{target.__qualname__}" == name


def test_packaged_defaults_are_options_of_the_class() -> None:
    for name in named_in_yaml():
        target = resolve_name(name)
        assert set(packaged_defaults(target)) <= set(schema(target))
        assert required(target) <= set(schema(target))
        assert set(defaults(target)) <= set(schema(target))
