"""Checks of the output directories of jobs before they are created."""

from pathlib import Path

from metadialog.composing.compose import Composed, as_job
from metadialog.composing.earlier_run import AUTO
from metadialog.composing.multirun import product, sweep_template
from metadialog.errors import ConfigError, RunError
from metadialog.escapes import shortened
from metadialog.overrides import typed
from metadialog.runs import layout

_BY_NUMBER = "${hydra.job.num}"


def check_output(composed: Composed) -> None:
    """Check that a job does not overwrite a run.

    Raises:
        ConfigError: the directory is unsuitable.
        RunError: the directory holds a run.
    """
    option, config = "hydra.run.dir", composed.config
    with as_job(config):
        _check(Path(_named(config.hydra.run.dir, option)), option, config.get("resume"))


def check_sweep_output(config_name: str, overrides: list[str]) -> None:
    """Check that no job of a sweep overwrites a run or another job. Requires an initialised Hydra.

    Raises:
        ConfigError: a directory is unsuitable.
        RunError: a directory holds a run.
    """
    sweep, template = sweep_template(config_name, overrides)
    if template == _BY_NUMBER and not sweep.exists():
        return
    taken: set[Path] = set()
    for config in product(config_name, overrides):
        with as_job(config):
            directory = Path(_named(config.hydra.sweep.dir, "hydra.sweep.dir"), str(config.hydra.sweep.subdir))
        _check(directory, "hydra.sweep.dir", AUTO if config.get("resume") == AUTO else None)
        if directory in taken:
            raise ConfigError(
                f"hydra.sweep.subdir: puts several jobs into {directory}; each should have a directory of its own, "
                f"as with hydra.sweep.subdir='{_BY_NUMBER}'"
            )
        taken.add(directory)


def _named(directory: str, option: str) -> str:
    if not directory:
        raise ConfigError(f"{option}=: is empty; it should name a directory")
    return directory


def output_directory(named: str, option: str = "output") -> Path:
    """Return the directory in an option, which need not exist yet.

    Raises:
        ConfigError: a file is in the way.
    """
    path = Path(_named(named, option)).expanduser()
    try:
        file = next((one for one in (path, *path.parents) if one.exists() and not one.is_dir()), None)
    except OSError as error:  # such as a name that is too long
        raise ConfigError(f"{option}={shortened(named)}: {error.strerror}; choose another") from error
    if file is not None:
        raise ConfigError(
            f"{option}={named}: {file} is a file; {option} should be a directory, or one that can be made"
        )
    return path


def _check(path: Path, option: str, resume: str | None) -> None:
    output_directory(str(path), option)
    if resume == AUTO:
        return
    if resume is not None:
        if path.resolve() != Path(resume).expanduser().resolve():
            raise ConfigError(f"{option}={path}: a run is resumed in its own directory, {resume}; leave {option} out")
    elif (path / layout.STATUS).exists():
        raise RunError(f"{path}: holds a run already; name another {option}, or {typed('resume', str(path))}")
