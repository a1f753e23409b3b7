"""A sweep is identified by the configs of its runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from hydra.core.override_parser.overrides_parser import OverridesParser

from metadialog.config import plain
from metadialog.errors import RunError
from metadialog.sweeps.directory import SweepDirectory
from metadialog.sweeps.identity import Identity, identify
from metadialog.sweeps.plan import Plan
from metadialog.sweeps.space import search_space

SWEEP = {"sampler": "tpe", "seed": 0, "trials": 20, "name": None, "jobs": None, "retry": False}


def plan(*lines: str) -> Plan:
    return Plan(*search_space({}, OverridesParser.create().parse_overrides([*lines])))


def composed(lines: list[str]) -> dict[str, Any]:
    with initialize_config_module("metadialog.conf", version_base="1.3"):
        return plain(compose("train", lines))


def digest(*lines: str, changes: Mapping[str, Any] | None = None, sweep: Mapping[str, Any] = SWEEP) -> str:
    def changed(job: list[str]) -> dict[str, Any]:
        config = composed(job)
        for path, value in (changes or {}).items():
            group, _, name = path.partition(".")
            if config[group].get("name", "") in ("", "maml", "fomaml") and name in config[group]:
                config[group][name] = value
        return config

    return identify(plan(*lines), changed).digest(sweep)


LR = "algorithm.inner_lr=interval(0.1,1)"


def test_it_is_the_config_that_counts_and_not_the_words() -> None:
    same = digest(LR, "seed=1")
    assert digest("seed=1", LR, "model=gru", "logger=local", "device=cpu", "threads=2") == same
    assert digest(LR, "seed=1", sweep={**SWEEP, "trials": 40, "jobs": 3}) == same


def test_whatever_changes_a_run_makes_another_sweep() -> None:
    found = [
        digest(LR),
        digest(LR, "seed=1"),
        digest("algorithm.inner_lr=interval(0.1,2)"),
        digest(LR, changes={"model.hidden_size": 7}),  # an edited yaml
        digest(LR, sweep={**SWEEP, "seed": 1}),
        digest(LR, sweep={**SWEEP, "sampler": "random"}),
    ]
    assert len(set(found)) == len(found)


def test_an_edited_choice_that_is_not_the_first_counts_too() -> None:
    lines = "algorithm=maml,fomaml"
    found = identify(plan(lines), composed)
    assert found.options["algorithm=fomaml: algorithm.first_order"] == "True"
    assert digest(lines) != digest(lines, changes={"algorithm.first_order": False})


def test_another_config_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    directory = SweepDirectory(tmp_path)

    def never(_: list[str]) -> dict[str, Any]:
        raise AssertionError

    identity = Identity({"model.hidden_size": "64", "seed": "0"}, plan(LR), never)
    identity.check(directory)
    start = {"arguments": [], "hydra": [], "config_sources": [], "folder": str(tmp_path)}
    directory.write({**start, "options": identity.options})
    identity.check(directory)
    with pytest.raises(RunError, match=r"holds a sweep of other runs \(model.hidden_size is 32 but was 64\)"):
        Identity({"model.hidden_size": "32", "seed": "0"}, plan(LR), never).check(directory)
