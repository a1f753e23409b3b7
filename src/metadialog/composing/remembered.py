"""Checks of the additional config folder of an earlier run before it is reused.

A run directory of unknown origin may name any folder. A folder on Hydra's search path may replace packaged configs,
including Hydra's own, which set environment variables, log files and executed code.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from metadialog.errors import RunError
from metadialog.escapes import escaped, shortened
from metadialog.runs.yaml_file import read_text_of, read_yaml
from metadialog.sweeps.storage import hide_password, known_url
from metadialog.trust import check_strangers

_PLAIN = re.compile(r"[\w-]+")
_RESOLVER = re.compile(r"\$\{[^}]*:")
_PACKAGE = "metadialog.conf"
_HYDRA_KEYS = ("hydra.sweep.dir", "hydra.sweep.subdir", "hydra.mode")
# Options of launchers that are only numbers and names, not commands to execute.
_LAUNCHER = re.compile(r"hydra/launcher=\w+|hydra\.launcher\.(?!setup|python|\w*args|\w*parameters)\w+=[\w.:-]*")


def check_remembered(folder: Path, choices: Mapping[str, str], run: Path) -> None:
    """Check a config folder that a run directory names, before Hydra reads it.

    Args:
        folder: the additional config folder.
        choices: choice of the run in each config group.
        run: directory of the run.

    Raises:
        RunError: the folder contains more than options of trusted classes.
    """
    problem = next(_problems(folder, choices), None)
    if problem is not None:
        raise RunError(
            f"{run}: was made with --config-dir {folder}, where {problem}; if the folder is yours, name it once more: "
            f"--config-dir {folder}"
        )


def check_dispensable(folder: Path, choices: Mapping[str, str], run: Path) -> None:
    """Check that the missing additional config folder of a run is not needed.

    Args:
        folder: the additional config folder.
        choices: choices of the run that are reused.
        run: directory of the run.

    Raises:
        RunError: a choice is not a packaged config.
    """
    packaged = files(_PACKAGE)
    lost = [f"{key}={choice}" for key, choice in choices.items() if not (packaged / key / f"{choice}.yaml").is_file()]
    if lost:
        raise RunError(
            f"{run}: was made with --config-dir {folder}, which is no longer there, and {', '.join(lost)} was in it; "
            "bring it back, or name the folder where its configs are now: --config-dir ..."
        )


def _problems(folder: Path, choices: Mapping[str, str]) -> Iterator[str]:
    if (folder / "hydra").exists():
        yield "the folder hydra replaces settings of Hydra"
    ours = {file.name for file in files(_PACKAGE).iterdir() if file.name.endswith(".yaml")}
    for name in sorted(ours):
        if (folder / name).exists():
            yield f"{name} replaces the packaged one"
    for group, choice in choices.items():
        if not group.startswith("hydra/"):
            yield from _problems_of_choice(folder, group, choice, set())


def _problems_of_choice(folder: Path, group: str, choice: str, seen: set[str]) -> Iterator[str]:
    path = folder / group / f"{choice}.yaml"
    if choice in seen or not path.exists():
        return
    seen.add(choice)
    text = read_text_of(path)
    if "@package" in text:
        yield f"{group}/{choice}.yaml puts its options elsewhere (@package)"
    if _RESOLVER.search(text):
        yield f"{group}/{choice}.yaml asks for values from outside (${{...:...}})"
    content: Any = read_yaml(path, "config")
    if not isinstance(content, dict):
        yield f"{group}/{choice}.yaml holds no keys and values"
        return
    for default in content.get("defaults") or []:
        if not isinstance(default, str) or not _PLAIN.fullmatch(default):
            yield f"{group}/{choice}.yaml has a default from another group"
        elif default != "_self_":
            yield from _problems_of_choice(folder, group, default, seen)
    check_strangers({group: content}, path)


def check_start(arguments: Sequence[str], given: Sequence[str], directory: Path) -> None:
    """Check the recorded command line of a sweep before it is started again.

    Args:
        arguments: recorded arguments.
        given: arguments that the user gives now, which need no check.
        directory: directory of the sweep.

    Raises:
        RunError: an argument does more than set options of trusted classes.
    """
    keys = {_key(argument) for argument in given}
    taken = [argument for argument in arguments if _key(argument) not in keys]
    for argument in taken:
        if (problem := _problem_of_argument(argument)) is not None:
            raise RunError(
                f"{directory}: was started with {escaped(shortened(hide_password(argument), 100))}, which {problem}; "
                "if that was you, give it once more behind the directory"
            )
    if taken[:1] == ["--config-dir"] and "--config-dir" not in given:
        groups = [argument.partition("=") for argument in taken if not argument.startswith(("hydra", "-"))]
        for key, _, values in groups:
            for value in values.split(","):
                check_remembered(Path(taken[1]), {key.lstrip("+~").partition("@")[0]: value}, directory)


def _problem_of_argument(argument: str) -> str | None:
    key, value = _key(argument), argument.partition("=")[2]
    if key.startswith("hydra") and key not in _HYDRA_KEYS and not _LAUNCHER.fullmatch(f"{key}={value}"):
        return "changes what Hydra executes or writes"
    if _RESOLVER.search(value):
        return "asks for values from outside"
    if key.endswith("_target_"):
        for target in value.split(","):
            check_strangers({key.partition(".")[0]: {"_target_": target}}, argument)
    if key == "sweep.storage" and value != "null":
        file = Path(value.partition(":///")[2]).expanduser()
        if not value.startswith("sqlite:///") or not file.is_file():
            return None if known_url(value) else "opens a storage"
    return None


def _key(argument: str) -> str:
    return argument.partition("=")[0].lstrip("+~").partition("@")[0]
