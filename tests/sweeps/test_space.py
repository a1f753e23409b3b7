"""Search spaces, converted from Hydra's grammar to Optuna and W&B."""

from pathlib import Path

import optuna
import pytest
import yaml
from hydra import initialize_config_module
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from metadialog.composing.compose import add_config_dir
from metadialog.errors import ConfigError
from metadialog.sweeps.plan import make_plan
from metadialog.sweeps.space import Dimension, dimension, search_space

SPACES = sorted((Path(__file__).parents[2] / "conf" / "sweep" / "space").glob("*.yaml"))
ALGORITHMS = {path.stem for path in (Path(__file__).parents[2] / "conf" / "algorithm").glob("*.yaml")}


def read(*lines: str) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(lines))


def one(line: str) -> Dimension:
    return dimension(read(line)[0])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a=interval(0.1,2.0)", Dimension("a", "float", 0.1, 2.0)),
        ("a=tag(log,interval(0.1,2.0))", Dimension("a", "float", 0.1, 2.0, log=True)),
        ("a=int(interval(1,5))", Dimension("a", "int", 1, 5)),
        ("a=range(1,6)", Dimension("a", "int", 1, 5)),
        ("a=range(1,8,2)", Dimension("a", "int", 1, 7, step=2)),
        ("a=x,y,x", Dimension("a", "choice", choices=("x", "y"))),
        ("a=choice(1,2)", Dimension("a", "choice", choices=("1", "2"))),
        ("a=interval(2.0,1.0)", None),
        ("a=tag(log,interval(0.0,1.0))", None),
        ("a=3", None),
    ],
)
def test_hydras_words_for_sweeps(line: str, expected: Dimension | None) -> None:
    if expected is None:
        with pytest.raises(ConfigError, match="a"):
            one(line)
    else:
        assert one(line) == expected


def test_what_is_given_takes_the_place_of_the_space() -> None:
    space = {"algorithm": {"inner_lr": "interval(0.1,1.0)", "inner_steps": "range(1,4)"}, "seed": "choice(0,1)"}
    found, fixed = search_space(space, read("algorithm.inner_lr=0.5", "seed=3,4,5", "model=lstm"))
    assert [(d.key, d.kind) for d in found] == [("algorithm.inner_steps", "int"), ("seed", "choice")]
    assert found[1].choices == ("3", "4", "5")
    assert fixed == ["algorithm.inner_lr=0.5", "model=lstm"]


def test_a_sweep_that_varies_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="varies nothing"):
        search_space({"seed": "choice(0,1)"}, read("seed=1"))


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_every_algorithm_has_a_search_space(algorithm: str) -> None:
    with initialize_config_module("metadialog.conf", version_base="1.3"):
        assert make_plan(None, algorithm, []).dimensions


def test_an_algorithm_without_one_has_that_of_the_one_that_its_yaml_extends(tmp_path: Path) -> None:
    (tmp_path / "algorithm").mkdir()
    (tmp_path / "algorithm" / "mine.yaml").write_text("defaults: [anil, _self_]\n_target_: my.Class\n")
    (tmp_path / "algorithm" / "other.yaml").write_text("_target_: my.Class\n")
    with initialize_config_module("metadialog.conf", version_base="1.3"):
        add_config_dir(str(tmp_path))
        assert make_plan(None, "mine", []).dimensions == make_plan(None, "anil", []).dimensions
        with pytest.raises(ConfigError, match="there is no search space of algorithm=other"):
            make_plan(None, "other", [])


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_the_spaces_can_be_read(path: Path) -> None:
    options = {key: value for key, value in yaml.safe_load(path.read_text()).items() if key != "defaults"}
    if options:
        found, _ = search_space(options, [])
        assert all(d.choices or d.low < d.high for d in found)


@pytest.mark.parametrize(
    "line",
    [
        "a=interval(0.1,2.0)",
        "a=tag(log,interval(0.1,2.0))",
        "a=range(1,8,2)",
        "a=x,y",
        "a=tag(log,int(interval(1,99)))",
        "a=8,16,2",
        "a=1,1.0,1e-3,true,null",
    ],
)
def test_optuna_draws_what_the_dimension_says(line: str) -> None:
    found = one(line)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = {found.suggest(study.ask()) for _ in range(50)}
    if found.kind == "choice":
        assert drawn == {*found.choices}
    else:
        assert all(found.low <= float(text) <= found.high for text in drawn)
        assert len(drawn) > 1
    if found.step > 1:
        assert drawn == {"1", "3", "5", "7"}


@pytest.mark.parametrize(
    ("line", "known"),
    [
        ("a=4,8,0.5", (4, 8, 0.5)),
        ("a=4,1e-3", (4, 0.001)),
        ("a=1,1.0", ("1", "1.0")),
        ("a=1,true", ("1", "True")),
        ("a=x,2", ("x", "2")),
    ],
)
def test_numbers_are_numbers_to_optuna_if_nothing_is_lost(line: str, known: tuple[object, ...]) -> None:
    study = optuna.create_study()
    one(line).suggest(study.ask())
    [distribution] = study.trials[0].distributions.values()
    assert isinstance(distribution, optuna.distributions.CategoricalDistribution)
    assert [(type(value), value) for value in distribution.choices] == [(type(value), value) for value in known]


def test_points_of_a_grid() -> None:
    assert one("a=interval(1.0,3.0)").points(3) == [1.0, 2.0, 3.0]
    assert one("a=tag(log,interval(0.01,1.0))").points(3) == pytest.approx([0.01, 0.1, 1.0])
    assert one("a=interval(1.0,3.0)").points(1) == [2.0]
    assert one("a=range(1,4)").points(2) == [1, 2, 3]
    assert one("a=x,y").points(3) == ["x", "y"]
