import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metadialog import cli, conf
from metadialog.cli import COMMANDS

Run = Callable[..., Any]
MODELS = [path.stem for path in (Path(conf.__path__[0]) / "model").glob("*.yaml")]


def test_help_lists_every_command_with_one_line(run: Run) -> None:
    outcome = run("--help")
    assert outcome.code == 0
    for command, summary in cli.COMMANDS.items():
        assert f"  {command}" in outcome.out
        assert summary in outcome.out


def test_help_imports_nothing_heavy() -> None:
    script = "import sys; from metadialog import cli; cli.main(['--help']); print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    modules = set(out.splitlines()[-1].split())
    assert modules.isdisjoint({"torch", "hydra", "omegaconf", "numpy", "pandas", "wandb", "pydantic"})


@pytest.mark.parametrize("look", ["first", "second"])
def test_a_look_at_data_imports_nothing_heavy(run: Run, tmp_path: Path, look: str) -> None:
    cache = tmp_path / "cache"
    if look == "second":
        assert run("data", f"cache={cache}").code == 0
    script = f"import sys; from metadialog import cli; cli.main(['data', 'cache={cache}']); print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    modules = set(out.splitlines()[-1].split())
    assert "pyarrow" in modules
    assert modules.isdisjoint({"torch", "pandas", "requests", "wandb", "matplotlib"})


def test_an_unknown_command_names_the_nearest(run: Run) -> None:
    outcome = run("trian")
    assert outcome.code == 2
    assert outcome.err == (
        f"metadialog: 'trian' is not a command; did you mean 'train'? the commands are {', '.join(COMMANDS)}\n"
    )


def test_version(run: Run) -> None:
    assert run("--version").out.startswith("metadialog 0.")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("metadialog ", [*COMMANDS]),
        ("metadialog ev", ["evaluate"]),
        ("metadialog train model=", [f"model={choice}" for choice in MODELS]),
        ("metadialog train algorithm.inner_l", ["algorithm.inner_lr="]),
        ("metadialog sweep-config model=", [f"model={choice}" for choice in MODELS]),
        ("metadialog sweeps ", ["list", "best", "resume"]),
        ("metadialog sweeps be", ["best"]),
        ("metadialog sweeps best multi", []),
        ("metadialog data spl", ["split=", "split."]),
        ("metadialog nothing mod", []),
    ],
)
def test_tab_completion(run: Run, monkeypatch: pytest.MonkeyPatch, line: str, expected: list[str]) -> None:
    monkeypatch.setenv("COMP_LINE", line)
    outcome = run("-sc", "query=bash")
    assert outcome.code == 0
    assert sorted(outcome.out.split()) == sorted(expected)


def test_the_completion_script_registers_the_program(run: Run) -> None:
    outcome = run("--shell-completion", "install=bash")
    assert outcome.code == 0
    assert outcome.out.rstrip().endswith("-F hydra_bash_completion metadialog")


def test_showing_a_config_imports_nothing_heavy() -> None:
    script = "import sys; from metadialog import cli; cli.main(['train', '--cfg', 'job']); print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert {*out.splitlines()[-1].split()}.isdisjoint({"torch", "numpy", "pandas", "wandb", "matplotlib"})
