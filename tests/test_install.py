"""`install.py`: the command line of pip. The public CI workflow installs a fresh environment with it."""

import importlib.util
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install_script", ROOT / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_asks_for_all_that_is_needed_but_learn2learn(script: ModuleType) -> None:
    asked = {name.replace(" ", "") for name in script.requirements({"serve"})}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = project["optional-dependencies"]["serve"]
    wanted = [line for line in [*project["dependencies"], *extra] if not line.startswith("learn2learn")]
    names = {line.split(">")[0].split("=")[0] for line in wanted}
    assert {*map(name_of, asked)} == names | set(script.IT_IMPORTS)
    assert script.LEARN2LEARN in project["dependencies"]


def name_of(requirement: str) -> str:
    for sign in "><=!~[":
        requirement = requirement.split(sign, maxsplit=1)[0]
    return requirement


def test_pip_is_that_of_the_running_python(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(script.subprocess, "run", lambda command, **_: commands.append(command))
    monkeypatch.setattr(script, "requirements", sorted)
    monkeypatch.setattr(sys, "argv", ["install.py", "some.whl", "serve,optuna"])
    script.main()
    assert all(command[:3] == [sys.executable, "-m", "pip"] for command in commands)
    assert commands[-2][-3:] == ["install", "--no-deps", "some.whl"]
    assert commands[-1][-3:] == ["install", "optuna", "serve"]
