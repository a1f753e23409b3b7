"""Files from other people cannot make code run: in each case such code would create a marker file."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from metadialog.errors import ConfigError, RunError
from metadialog.trust import TRUST, check_strangers, resolve, take_trust, trusted, trusting

Run = Callable[..., Any]

FIXTURES = Path(__file__).parent / "fixtures" / "version_0_1_0"
MARKER = "marker"
EVIL = f"from pathlib import Path\nPath({MARKER!r}).touch()\n"


@pytest.fixture
def finished(run: Run) -> Path:  # noqa: ARG001 - creates the working directory
    """A finished run in the working directory, and a module that creates a marker when it is imported."""
    directory = Path.cwd() / "finished"
    shutil.copytree(FIXTURES / "finished", directory)
    (directory / "model" / "evil.py").write_text(EVIL)
    return directory


def change(path: Path, place: str, value: object) -> None:
    """Set a value of a YAML file."""
    content = yaml.safe_load(path.read_text())
    *parents, last = place.split(".")
    node = content
    for name in parents:
        node = node[name]
    node[last] = value
    path.write_text(yaml.safe_dump(content))


@pytest.mark.parametrize("target", ["pydoc.pipepager", "finished.model.evil.Model", "os.system", "metadialog.cli.main"])
@pytest.mark.parametrize("place", ["config.yaml", "model/config.yaml"])
def test_a_run_names_our_classes_alone(run: Run, finished: Path, place: str, target: str) -> None:
    change(finished / place, "model._target_" if "model/" in place else "algorithm._target_", target)
    outcome = run("evaluate", "run=finished", "logger=local")
    assert outcome.code == 2
    assert f"_target_ names '{target}', not a class of metadialog." in outcome.err
    assert "nothing of it has been imported" in outcome.err
    assert not Path(MARKER).exists()


def test_python_m_imports_nothing_from_the_working_directory(finished: Path) -> None:
    change(finished / "model" / "config.yaml", "model._target_", "finished.model.evil.Model")
    for name in ("wandb.py", "jieba.py", "yaml.py", "torch.py", "evil.py"):
        Path(name).write_text(EVIL)
    command = [sys.executable, "-m", "metadialog", "evaluate", "run=finished", "logger=local"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "nothing of it has been imported" in done.stderr
    assert not Path(MARKER).exists()


def test_a_package_is_trusted_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TRUST, raising=False)
    config = {"algorithm": {"_target_": "my_pkg.algorithms.Mine"}}
    with pytest.raises(RunError, match=r"trust=\[my_pkg\] allows the classes of that package"):
        check_strangers(config, "config.yaml")
    with trusting("my_pkg"):
        check_strangers(config, "config.yaml")
        assert trusted() == {"my_pkg"}
    assert trusted() == set()
    assert take_trust(["seed=1", "trust=[my_pkg, other]", "device=cpu"]) == ["seed=1", "device=cpu"]
    assert trusted() == {"my_pkg", "other"}
    check_strangers(config, "config.yaml")
    monkeypatch.delenv(TRUST)
    for wrong in ("os", "a.b", "../x"):
        with pytest.raises(ConfigError, match="should be the name of a package of your own"):
            take_trust([f"trust={wrong}"])


@pytest.mark.parametrize(
    ("path", "target", "message"),
    [
        ("model", "builtins.int", "it is Python's own"),
        ("model", "pydoc.pipepager", "it is Python's own"),
        ("model", "metadialog.cli.main", "those are in metadialog.models"),
        ("algorithm", "metadialog.models.rnn.DialogModel", "those are in metadialog.algorithms"),
        ("model", "yaml.load", "does not say what it returns"),
        ("model", "yaml.YAMLError", "is no Module"),
        ("dataset", "yaml.YAMLError", "is no Dataset: it has no"),
        ("model", "no_such_package.Model", "cannot be imported"),
        ("model", "x", "should be a module and a name"),
        ("model", "a..b", "should be a module and a name"),
    ],
)
def test_an_override_names_a_class_of_the_right_kind(path: str, target: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(target, path)


def test_a_config_is_not_filled_in_from_the_environment(
    run: Run, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "s3cr3t")
    change(finished / "config.yaml", "generation.max_tokens", "${oc.env:SECRET}")
    for command in (["evaluate", "run=finished", "logger=local"], ["table", "runs=finished", "output=out"]):
        outcome = run(*command)
        assert outcome.code == 2
        assert "generation.max_tokens: ${oc.env:SECRET} is not filled in" in outcome.err
        assert "s3cr3t" not in outcome.err + outcome.out
    assert not Path("out").exists()


@pytest.mark.parametrize("key", ["hydra", "+hydra.job.env_set.PATH", "++hydra.job_logging"])
def test_what_hydra_wrote_is_no_override_of_hydra(run: Run, key: str) -> None:
    directory = Path.cwd() / "broken_off"
    shutil.copytree(FIXTURES / "broken_off", directory)
    (directory / "config.yaml").unlink()
    composed = directory / ".hydra" / "config.yaml"
    content = yaml.safe_load(composed.read_text())
    composed.write_text(yaml.safe_dump({**content, key: {"job": {"env_set": {"PATH": "/nowhere"}}}}))
    path = os.environ["PATH"]
    outcome = run("train", "resume=broken_off")
    assert outcome.code == 2
    assert "is no name of an option" in outcome.err
    assert os.environ["PATH"] == path


def test_a_remembered_folder_of_configs_replaces_nothing(run: Run, finished: Path) -> None:
    folder = Path.cwd() / "conf"
    (folder / "hydra" / "job_logging").mkdir(parents=True)
    settings = finished / ".hydra" / "hydra.yaml"
    content = yaml.safe_load(settings.read_text())
    content["hydra"]["runtime"]["config_sources"].append(
        {"path": str(folder), "schema": "file", "provider": "command-line"}
    )
    settings.write_text(yaml.safe_dump(content))
    outcome = run("evaluate", "run=finished", "logger=local")
    assert outcome.code == 2
    assert "the folder hydra replaces settings of Hydra; if the folder is yours, name it once more" in outcome.err
    shutil.rmtree(folder / "hydra")
    (folder / "algorithm").mkdir()
    (folder / "algorithm" / "maml.yaml").write_text(json.dumps({"_target_": "finished.model.evil.Algorithm"}))
    outcome = run("evaluate", "run=finished", "logger=local")
    assert outcome.code == 2
    assert "nothing of it has been imported" in outcome.err
    assert not Path(MARKER).exists()


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("hydra.job.env_set.PATH=/nowhere", "changes what Hydra executes or writes"),
        ("+hydra.job_logging.handlers.file.filename=marker", "changes what Hydra executes or writes"),
        ("hydra.launcher.setup=[touch marker]", "changes what Hydra executes or writes"),
        ("hydra/job_logging=evil", "changes what Hydra executes or writes"),
        ("model._target_=finished.model.evil.Model", "nothing of it has been imported"),
        ("cache=${oc.env:HOME}", "asks for values from outside"),
        ("sweep.storage=redis://somewhere:6379/0", "opens a storage"),
        ("sweep.storage=sqlite:////nowhere/planted.db", "opens a storage"),
    ],
)
@pytest.mark.parametrize("name", ["sweep", "study"])
def test_what_a_sweep_was_started_with_is_not_obeyed(run: Run, name: str, argument: str, message: str) -> None:
    directory = Path.cwd() / name
    shutil.copytree(FIXTURES / name, directory)
    if name == "sweep":
        path = directory / "multirun.yaml"
        content = yaml.safe_load(path.read_text())
        content["hydra"]["overrides"]["task"].append(argument)
        content["hydra"]["runtime"]["cwd"] = str(Path.cwd())
        path.write_text(yaml.safe_dump(content))
    else:
        path = directory / "sweep.json"
        content = json.loads(path.read_text())
        content["arguments"].append(argument)
        content["folder"] = str(Path.cwd())
        path.write_text(json.dumps(content))
    outcome = run("sweeps", "resume", name)
    assert outcome.code == 2
    assert message in outcome.err
    assert not Path(MARKER).exists()
    assert not Path("/nowhere").exists()
