"""Directories of Hydra's own sweeper: its runs and its command line."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from metadialog.errors import RunError
from metadialog.runs import layout
from metadialog.runs.config_file import read_multirun, read_overrides
from metadialog.runs.reading import is_there
from metadialog.sweeps.directory import Record, SweepDirectory
from metadialog.sweeps.outcomes import read_outcome

_CONFIG_DIR = "--config-dir"

# Overrides of a job in addition to the varied ones.
_MACHINERY = ("hydra.", "hydra/", "resume=", "threads=", "logger.group=", "logger.title=")


@dataclass(frozen=True, slots=True)
class Start:
    """The command line of a sweep.

    Attributes:
        arguments: arguments after `metadialog train -m`.
        folder: working directory.
    """

    arguments: list[str]
    folder: Path


def read_records(directory: Path) -> list[Record]:
    """Return the records of the runs of a sweep, also of Hydra's own sweeper.

    Raises:
        RunError: there is no sweep there, or its files are damaged.
    """
    sweep = SweepDirectory(directory)
    if sweep.exists():
        return sweep.read_records()
    _check(directory)
    return [_record(number, directory, run) for number, run in enumerate(_runs(directory))]


def config_dir(directory: Path) -> list[str]:
    """Return the flag of the additional config folder of a sweep, if any.

    Raises:
        RunError: there is no sweep there, or its files are damaged.
    """
    start = read_start(directory)
    if start.arguments[:1] != [_CONFIG_DIR]:
        return []
    return [_CONFIG_DIR, str(start.folder / start.arguments[1])]


def read_start(directory: Path) -> Start:
    """Return the command line of a sweep, for resuming it.

    Raises:
        RunError: there is no sweep there, or its files are damaged.
    """
    sweep = SweepDirectory(directory)
    # A pattern with the time in it is replaced by the actual directory.
    here = f"hydra.sweep.dir={directory.absolute()}"
    if sweep.exists():
        about = sweep.read()
        try:
            arguments = [*_config_dir(about["config_sources"]), *about["hydra"], *about["arguments"]]
            return Start(_with(arguments, [here]), Path(about["folder"]))
        except (KeyError, TypeError) as error:
            raise RunError(f"{directory}: its description of the sweep is damaged: {error!r} is missing") from error
    _check(directory)
    path = directory / layout.MULTIRUN
    hydra = read_multirun(path)
    sources = [source.model_dump() for source in hydra.runtime.config_sources]
    arguments = [*_config_dir(sources), *hydra.overrides.hydra, *hydra.overrides.task]
    return Start(_with(arguments, [here, "resume=auto"]), Path(hydra.runtime.cwd))


def replaced(arguments: list[str], more: list[str]) -> list[str]:
    """Replace or append arguments of a command line; a group may be named only once."""
    return _with(arguments, more)


def _with(arguments: list[str], more: list[str]) -> list[str]:
    keys = {_key(override) for override in more}
    return [*(argument for argument in arguments if _key(argument) not in keys), *more]


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~").partition("@")[0]


def _config_dir(sources: list[dict[str, str]]) -> list[str]:
    """Return the flag of the additional config folder, if any."""
    named = [source["path"] for source in sources if source["provider"] == "command-line"]
    return [_CONFIG_DIR, named[-1].removeprefix("file://")] if named else []


def _check(directory: Path) -> None:
    if not directory.is_dir():
        raise RunError(f"{directory}: there is no such directory; give the directory of a sweep")
    if not is_there(directory / layout.MULTIRUN):
        raise RunError(
            f"{directory}: not the directory of a sweep: neither {layout.SWEEP} nor {layout.MULTIRUN} is in it; the "
            "directory of a sweep is the one that its runs lie in by number"
        )


def _runs(directory: Path) -> Iterator[Path]:
    """Yield the directories of runs below that of a sweep, 2 before 10; a name with slashes makes nested ones."""
    for folder, inner, _ in os.walk(directory):
        path = Path(folder)
        if path != directory and layout.HYDRA in inner:
            inner.clear()
            yield path
        inner.sort(key=_natural)


def _natural(name: str) -> list[tuple[bool, int, str]]:
    parts = re.split(r"(\d+)", name)
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts if part]


def _record(number: int, directory: Path, run: Path) -> Record:
    overrides = [line for line in read_overrides(run) if not line.startswith(_MACHINERY)]
    outcome = read_outcome(run)
    return Record(
        number=number,
        state=outcome.state,
        value=outcome.value,
        directory=str(run.relative_to(directory)),
        overrides=overrides,
        reason=outcome.reason,
        seconds=outcome.seconds,
    )
