"""Reuse of the config of a finished or interrupted run, as overrides.

`metadialog train resume=DIR` resumes the run in DIR, and `metadialog evaluate run=DIR` evaluates it: both start from
the run's config. Its resolved `config.yaml` is converted to overrides before the user's own, so that Hydra still
composes everything, `--cfg job` shows it, and the user's overrides take precedence.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metadialog.composing.remembered import check_dispensable, check_remembered
from metadialog.errors import ConfigError, RunError
from metadialog.hydra_internals import HydraException, Override, OverridesParser
from metadialog.moved_names import current_name
from metadialog.overrides import literal, quote, typed
from metadialog.runs import layout
from metadialog.runs.config_file import (
    read_choices,
    read_config,
    read_config_dir,
    read_run_config,
    read_working_directory,
)
from metadialog.runs.reading import is_there
from metadialog.trust import check_strangers

AUTO = "auto"
"""`resume=auto`: resume the run in the directory, or start a new one."""

PATHS = ("dataset.path", "dataset.root", "embedding.path", "start.run", "cache")
"""Options with paths of files and folders."""

# The groups that define adaptation.
_LEARNING = ("algorithm", "start", "inner", "objective", "engine")

# command -> option with the run, and the config groups reused from it (None: all)
SOURCES: dict[str, tuple[str, tuple[str, ...] | None]] = {
    "train": ("resume", None),
    "evaluate": (
        "run",
        (
            "dataset",
            "split",
            "sampler",
            *_LEARNING,
            "generation",
            "evaluation",
            "seed",
        ),
    ),
    "predict": ("run", ("sampler", *_LEARNING, "generation")),
}


@dataclass(frozen=True, slots=True)
class Inherited:
    """The overrides of a command that names an earlier run.

    Attributes:
        overrides: overrides for the run's config, followed by the given ones.
        config_dir: additional config folder of the run; None if there was none.
        choices: choice of the run in each config group.
        taken: choices that are reused.
        run: directory of the run.
    """

    overrides: list[str]
    config_dir: str | None = None
    choices: Mapping[str, str] = field(default_factory=dict)
    taken: Mapping[str, str] = field(default_factory=dict)
    run: Path = Path()

    def remembered_config_dir(self) -> str | None:
        """Return the additional config folder of the run, for use if the user sets none.

        Raises:
            RunError: the folder contains more than options, or it is missing but needed.
        """
        if self.config_dir is None:
            return None
        folder = Path(self.config_dir)
        if not folder.is_dir():
            check_dispensable(folder, self.taken, self.run)
            return None
        check_remembered(folder, self.choices, self.run)
        return self.config_dir


def inherit(command: str, overrides: Sequence[str]) -> Inherited:
    """Prepend the overrides of the run that the given overrides name.

    Raises:
        RunError: the run directory does not exist, or has no readable config.
        ConfigError: several runs or none are named, or an algorithm other than the run's.
    """
    if command not in SOURCES:
        return Inherited([*overrides])
    option, groups = SOURCES[command]
    given = _given(overrides)
    named = [override for override in given if override.key_or_group == option]
    if not named or named[-1].value() is None or (option == "resume" and named[-1].value() == AUTO):
        return Inherited([*overrides])
    if named[-1].is_sweep_override():
        raise ConfigError(f"{named[-1].input_line}: one run at a time; write a loop over them, and leave out -m")
    if not named[-1].value():
        raise ConfigError(f"{option}=: is empty; it should be the directory of a run")
    directory = Path(str(named[-1].value())).expanduser()
    made, values = _read(directory, option, groups or ())
    if groups is not None:
        _check_algorithm(made.choices.get("algorithm"), values, given)
    taken = [*_inherited(made, values, given, groups)]
    if command == "train":
        taken.append(f"hydra.run.dir={quote(str(directory))}")
    choices = {group: choice for group, choice in made.choices.items() if f"{group}={choice}" in taken}
    return Inherited([*taken, *overrides], made.config_dir, made.choices, choices, directory)


def _check_algorithm(trained: str | None, values: Mapping[str, Any], given: list[Override]) -> None:
    """Refuse an algorithm other than that of the training."""
    target = current_name(str(values["algorithm"]["_target_"]))
    for override in given:
        if override.key_or_group == "algorithm._target_" and override.value() != target:
            raise ConfigError(f"{override.input_line}: the run was trained with {target}; leave it out")
        if override.key_or_group == "algorithm" and trained not in (None, override.value()):
            raise ConfigError(
                f"{override.input_line}: the run was trained with algorithm={trained}, and its results would be under "
                f"a wrong name; leave it out, or set its options, such as algorithm.inner_lr"
            )


def _given(arguments: Sequence[str]) -> list[Override]:
    parser = OverridesParser.create()
    results = []
    for argument in arguments:
        try:
            results.append(parser.parse_override(argument))
        except HydraException:  # a flag, or an error that is reported when the config is composed
            continue
    return results


def _read(directory: Path, option: str, groups: tuple[str, ...]) -> tuple["_Made", dict[str, Any]]:
    """Return how the run was composed, and its resolved config, which contains all of `groups`."""
    if not directory.is_dir():
        raise RunError(f"{option}={directory}: there is no such directory; give the directory of a run")
    config = directory / layout.CONFIG
    composed = layout.hydra_config(directory)
    if option == "resume" and not is_there(config):
        _check_composed(directory)
        values = read_config(composed)
        check_strangers(values, composed)
        return _chosen(directory, option), values
    made, values = _chosen(directory, option), read_run_config(config)
    # A missing group would silently be replaced by a default.
    there = read_config(composed)
    lost = [path for group in groups for path in _paths(group, there.get(group)) - _paths(group, values.get(group))]
    if lost:
        raise RunError(f"{config}: damaged: {', '.join(sorted(lost))} should be in it, as in {composed}")
    return made, values


@dataclass(frozen=True, slots=True)
class _Made:
    """How a run was composed: choices of groups, additional config folder, and working directory."""

    choices: dict[str, str]
    config_dir: str | None
    folder: Path | None


def _chosen(directory: Path, option: str) -> _Made:
    """Return how a run was composed."""
    try:
        return _Made(read_choices(directory), read_config_dir(directory), read_working_directory(directory))
    except RunError as error:
        raise RunError(f"{option}={directory}: not the directory of a run: {error}") from error


def _check_composed(directory: Path) -> None:
    """Check that a run without a config was interrupted after Hydra had written its files.

    Raises:
        RunError: there is no run, or it was interrupted before.
    """
    if not is_there(layout.hydra_overrides(directory)):  # written last by Hydra
        raise RunError(
            f"resume={directory}: not the directory of a run, or of one that broke off before it wrote its config; "
            f"start it again: it may have the same directory, {typed('hydra.run.dir', str(directory))}"
        )


def _paths(path: str, value: object) -> set[str]:
    """Return the paths of the options in a part of a config."""
    if isinstance(value, dict) and value:
        return {inner for name, part in value.items() for inner in _paths(f"{path}.{name}", part)}
    return set() if value is None and "." not in path else {path}


def _inherited(
    made: "_Made",
    values: Mapping[str, Any],
    given: list[Override],
    groups: tuple[str, ...] | None,
) -> Iterator[str]:
    rechosen = {override.key_or_group for override in given}
    for group, choice in made.choices.items():
        if group in values and group not in rechosen and (groups is None or group in groups):
            yield f"{group}={choice}"
    for key, value in values.items():
        # A group with another choice has its own options, so the old values are dropped.
        if key in rechosen and isinstance(value, dict):
            continue
        if groups is None or key in groups:
            yield from _overrides(key, value, made.folder)


def _overrides(path: str, value: object, folder: Path | None) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _overrides(f"{path}.{name}", inner, folder)
    elif path.endswith("._target_"):
        yield f"{path}={literal(current_name(str(value)))}"
    elif path not in ("_target_", "resume"):
        yield f"{path}={literal(_from(folder, value) if path in PATHS else value)}"


def _from(folder: Path | None, value: object) -> object:
    """Return a path relative to the folder in which the run was started."""
    if folder is None or not isinstance(value, str) or folder == Path.cwd():
        return value
    path = folder / Path(value).expanduser()
    return str(path) if path.exists() else value
