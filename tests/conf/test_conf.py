"""Every choice in `conf/` composes, passes the check, and has a comment for each option."""

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated, get_args, get_origin

import pytest
from annotated_types import Ge, Interval, Le, Lt, MinLen
from hydra import compose, initialize_config_module
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.metadialog_sweeper.sweeper import register
from metadialog import config
from metadialog.cli import COMMANDS
from metadialog.composing.compose import add_config_dir
from metadialog.options import schema

FOLDER = Path(str(files("metadialog.conf").joinpath("train.yaml"))).parent
FILES = sorted(FOLDER.rglob("*.yaml"))
APPLICATIONS = [command for command in COMMANDS if (FOLDER / f"{command}.yaml").exists()]
# Options without a default, which must be given to compose their choice.
GIVEN = {
    "start=run": ["start.run=outputs/joint"],
    "dataset=auto": ["dataset.path=exports"],
    "dataset=crosswoz": ["dataset.root=crosswoz"],
    "dataset=dailydialog": ["dataset.root=dailydialog"],
    "dataset=empathetic": ["dataset.root=empathetic"],
    "dataset=huggingface": ["dataset.path=owner/name"],
    "dataset=jsonl": ["dataset.path=my.jsonl"],
    "dataset=kdconv": ["dataset.root=kdconv"],
    "dataset=metalwoz": ["dataset.root=metalwoz-v1.zip"],
    "dataset=multiwoz": ["dataset.root=multiwoz"],
    "dataset=personachat": ["dataset.root=personachat"],
    "dataset=sgd": ["dataset.root=sgd"],
    "dataset=table": ["dataset.path=my.csv"],
    "dataset=taskmaster": ["dataset.root=TM-1-2019"],
    "dataset=wizard": ["dataset.root=wizard"],
    "embedding=pretrained": ["embedding.path=vectors.txt"],
    "split=explicit": ["split.train=[ai]", "split.validation=[food]", "split.test=[money]"],
}
RUN = {
    "adapt": ["run=DIR", "dialogues=FILE"],
    "chat": ["run=DIR"],
    "evaluate": ["run=DIR"],
    "generate": ["run=DIR"],
    "serve": ["run=DIR"],
    "predict": ["run=DIR", "specification=spec.txt"],
    "table": ["runs=DIR"],
}


def choices() -> Iterator[tuple[str, str]]:
    """Yield each command with each choice of its config groups."""
    with initialize_config_module("metadialog.conf", version_base="1.3"):
        for command in APPLICATIONS:
            composed = compose(command)
            for file in FILES:
                group = file.relative_to(FOLDER).parent.as_posix()
                if group in composed or (group in ("debug", "sweep") and command == "train"):
                    yield command, f"{group}={file.stem}"


@pytest.mark.parametrize(("command", "choice"), list(choices()))
def test_every_choice_composes_and_passes_the_check(command: str, choice: str) -> None:
    register()  # as in the application
    with initialize_config_module("metadialog.conf", version_base="1.3"):
        composed = compose(command, [choice, *GIVEN.get(choice, []), *RUN.get(command, [])])
    node = config.plain(composed)
    if sweep := node.pop("sweep", None):  # not an option of runs
        config.check(sweep, "sweep")
    config.check(node)


STUDIES = Path(__file__).parents[2] / "experiments"


@pytest.mark.parametrize("study", sorted(path.parent.name for path in STUDIES.glob("*/config.yaml")))
def test_every_study_composes_and_passes_the_check(study: str) -> None:
    with initialize_config_module("metadialog.conf", version_base="1.3"):
        add_config_dir(str(STUDIES))
        composed = compose("train", [f"+{study}=config"])
    config.check(config.plain(composed))


@pytest.mark.parametrize("row", sorted(STUDIES.glob("*/row/*.yaml")), ids=lambda path: path.stem)
def test_every_row_of_a_study_composes_and_passes_the_check(row: Path) -> None:
    study = row.parent.parent.name
    with initialize_config_module("metadialog.conf", version_base="1.3"):
        add_config_dir(str(STUDIES))
        composed = compose("train", [f"+{study}=config", f"+{study}/row={row.stem}"])
    config.check(config.plain(composed))


@pytest.mark.parametrize("study", sorted(path.parent.name for path in STUDIES.glob("*/pretrained.yaml")))
def test_every_study_beside_a_pretrained_model_composes_and_passes_the_check(study: str) -> None:
    with initialize_config_module("metadialog.conf", version_base="1.3"):
        add_config_dir(str(STUDIES))
        composed = compose("train", [f"+{study}=pretrained", "+pretrained/row=smollm2_in_context"])
        beside = compose("train", [f"+{study}=config"])
    config.check(config.plain(composed))
    assert composed.split.test == beside.split.test


def test_every_file_is_reached() -> None:
    reached = {choice for _, choice in choices()}
    for file in FILES:
        group = file.relative_to(FOLDER).parent.as_posix()
        # Search spaces are checked with the sweeps, and options that data sets share with each of them.
        if group not in (".", "sweep/space", "dataset/cleaning"):
            assert f"{group}={file.stem}" in reached


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(FOLDER)))
def test_every_option_has_a_comment(file: Path) -> None:
    lines = file.read_text().splitlines()
    for number, line in enumerate(lines):
        option = re.match(r"(\w+): .", line)
        if option and option[1] not in ("_target_", "defaults"):
            assert "  # " in line or lines[number - 1].startswith("# "), f"{file}:{number + 1}: no comment"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(FOLDER)))
def test_a_defaults_list_says_where_the_file_itself_stands(file: Path) -> None:
    content = OmegaConf.load(file)
    assert isinstance(content, DictConfig)
    defaults = content.get("defaults")
    if defaults is not None and file.parent != FOLDER:
        # Hydra requires overrides of other groups to come last; they add no options.
        added = [entry for entry in defaults if isinstance(entry, str) or not next(iter(entry)).startswith("override ")]
        assert added[-1] == "_self_"


def numbers(annotation: object, limits: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """Yield the bounds of each kind of number that an annotation allows."""
    if annotation in (int, float):
        yield limits
    elif get_origin(annotation) is Annotated:
        kind, *own = get_args(annotation)
        yield from numbers(kind, tuple(own))
    else:
        for inner in get_args(annotation):
            yield from numbers(inner)


def test_the_walk_finds_numbers_wherever_they_stand() -> None:
    annotation = Annotated[list[Annotated[int, Ge(1)]], MinLen(1)] | dict[str, float | Annotated[int, Le(2)]] | None
    assert list(numbers(annotation)) == [(Ge(1),), (), (Le(2),)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(FOLDER).as_posix())
def test_no_number_is_without_an_upper_bound(file: Path) -> None:
    """A number out of range is refused before training starts."""
    target = re.search(r"^_target_: *(\S+)", file.read_text("utf-8"), re.M)
    if target is None:
        return
    for name, annotation in schema(resolve_name(target[1])).items():
        for limits in numbers(annotation):
            bounded = [
                isinstance(one, Le | Lt) or (isinstance(one, Interval) and (one.le, one.lt) != (None, None))
                for one in limits
            ]
            assert any(bounded), f"{file}: {name}"
