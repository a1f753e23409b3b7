"""Taking over the config of a finished or broken-off run, as overrides that Hydra composes.

`metadialog train resume=DIR` goes on with the run in DIR, and `metadialog evaluate run=DIR` evaluates it: both
start from the config that the run was made with. Its resolved `config.yaml` is turned into overrides that stand
before the user's own, so that Hydra still composes everything, `--cfg job` shows it, and the last word is the
user's.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from yaml import YAMLError

from metadialog.config import read
from metadialog.errors import RunError

# command -> the option that names the run, and the config groups that are taken over from it (None: all)
SOURCES: dict[str, tuple[str, tuple[str, ...] | None]] = {
    "train": ("resume", None),
    "evaluate": (
        "run",
        ("dataset", "split", "sampler", "algorithm", "engine", "generation", "evaluation", "seed"),
    ),
    "predict": ("run", ("sampler", "algorithm", "engine", "generation")),
}


def inherit(command: str, arguments: list[str]) -> list[str]:
    """Return the arguments with those of the run that they name put before them.

    Raises:
        RunError: the run directory does not exist, or holds no readable config.
    """
    if command not in SOURCES:
        return arguments
    option, groups = SOURCES[command]
    given = _given(arguments)
    named = [override for override in given if override.key_or_group == option]
    if not named or named[-1].value() is None:
        return arguments
    directory = Path(str(named[-1].value())).expanduser()
    choices, values = _read(directory, option)
    taken = [*_inherited(choices, values, given, groups)]
    if command == "train":
        taken.append(f"hydra.run.dir={_quote(str(directory))}")
    # Before the user's own, and beside them: a flag between overrides is one that Hydra's parser stumbles over.
    first = arguments.index(get_args_parser().parse_args(arguments).overrides[0])
    return [*arguments[:first], *taken, *arguments[first:]]


def _given(arguments: list[str]) -> list[Override]:
    parser = OverridesParser.create()
    found = []
    for argument in arguments:
        try:
            found.append(parser.parse_override(argument))
        except HydraException:  # a flag, or a mistake that is reported when the config is composed
            continue
    return found


def _read(directory: Path, option: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Return which choices the run made in each group, and its resolved config."""
    if not directory.is_dir():
        raise RunError(f"{option}={directory}: there is no such directory; give the directory of a run")
    try:
        hydra = OmegaConf.load(directory / ".hydra" / "hydra.yaml")
        choices = dict(hydra.hydra.runtime.choices)
    except (OSError, YAMLError, AttributeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise RunError(f"{option}={directory}: not the directory of a run: {reason}") from error
    made = {str(group): str(choice) for group, choice in choices.items() if choice is not None}
    return made, read(directory / "config.yaml")


def _inherited(
    choices: Mapping[str, str],
    values: Mapping[str, Any],
    given: list[Override],
    groups: tuple[str, ...] | None,
) -> Iterator[str]:
    rechosen = {override.key_or_group for override in given}
    for group, choice in choices.items():
        if group in values and group not in rechosen and (groups is None or group in groups):
            yield f"{group}={choice}"
    for key, value in values.items():
        # A group that the user chooses anew brings its own options: the old choice's values have no place there.
        if key in rechosen and isinstance(value, dict):
            continue
        if groups is None or key in groups:
            yield from _overrides(key, value)


def _overrides(path: str, value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _overrides(f"{path}.{name}", inner)
    elif not path.endswith("_target_") and path != "resume":
        yield f"{path}={_literal(value)}"


def _literal(value: object) -> str:
    """Write a value in Hydra's override grammar."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(_literal, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{_quote(str(k))}:{_literal(v)}' for k, v in value.items())}}}"
    return _quote(value) if isinstance(value, str) else repr(value)


def _quote(text: str) -> str:
    r"""Quote a string for Hydra's grammar, where `\'` stands for a quote and `\\` before it for a backslash."""
    escaped = text.replace("\\'", "\\\\'").replace("'", "\\'")
    if escaped.endswith("\\"):
        escaped += "\\" * (len(escaped) - len(escaped.rstrip("\\")))
    return f"'{escaped}'"
