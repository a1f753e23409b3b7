"""The folder of further configs that an earlier run was made with: used again only if it can do no more than a config.

Whoever wrote the run directory chose the folder. A folder on Hydra's search path may replace the packaged configs,
Hydra's own among them, which set environment variables, log files and what is executed.
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
# How many jobs run where, in numbers and names; not what a launcher executes before them.
_LAUNCHER = re.compile(r"hydra/launcher=\w+|hydra\.launcher\.(?!setup|python|\w*args|\w*parameters)\w+=[\w.:-]*")


def check_remembered(folder: Path, choices: Mapping[str, str], run: Path) -> None:
    """Check a folder that a run directory names, before Hydra reads it.

    Args:
        folder: of further configs.
        choices: the choice in each config group that the run was made with.
        run: the run's directory.

    Raises:
        RunError: the folder holds what may do more than give options of the classes that are trusted.
    """
    problem = next(_problems(folder, choices), None)
    if problem is not None:
        raise RunError(
            f"{run}: was made with --config-dir {folder}, where {problem}; if the folder is yours, name it once more: "
            f"--config-dir {folder}"
        )


def check_dispensable(folder: Path, choices: Mapping[str, str], run: Path) -> None:
    """Check that a run can do without the folder of further configs that it was made with, which is not there.

    Args:
        folder: of further configs.
        choices: the choices of the run that are needed again.
        run: the run's directory.

    Raises:
        RunError: a choice is none of the packaged configs.
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
    """Check how a sweep was started, as its directory says, before it is started so once more.

    Args:
        arguments: what was typed then.
        given: what the user types now, which needs no check.
        directory: of the sweep.

    Raises:
        RunError: an argument may do more than choose options of the classes that are trusted.
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
