"""What may change when a run goes on, and what may not."""

from collections.abc import Iterator, Mapping
from pkgutil import resolve_name
from typing import Any

from metadialog.errors import RunError
from metadialog.options import python_defaults

# How long a run goes on and where it reports to may change; anything else would make it another run.
# (`_target_` names the command itself, which the run's own config does not hold.)
FREE = ("_target_", "resume", "training.steps", "training.patience", "logger", "device", "threads", "generation")


def check_same_run(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Check that a run goes on with the config that it began with.

    Raises:
        RunError: naming what differs.
    """
    differing = [
        f"{path} is {new_value!r} but was {old_value!r}"
        for path, old_value, new_value in differences(old, new)
        if not any(path == free or path.startswith(f"{free}.") for free in FREE)
    ]
    if differing:
        raise RunError(
            f"resume={new.get('resume')}: a run goes on as it began: {'; '.join(differing)}; "
            f"only {', '.join(FREE[2:])} may change"
        )


def total_steps(config: Mapping[str, Any]) -> int:
    """Return the outer steps of a run: those of a joint start, and the algorithm's own."""
    return int(config["training"]["steps"]) + int(config.get("start", {}).get("steps", 0))


def check_steps(checkpoint: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Check that a run has not gone further than it shall go.

    Raises:
        RunError: it has.
    """
    done, steps, asked = checkpoint["standing"]["step"], total_steps(config), config["training"]["steps"]
    if done > steps:
        raise RunError(
            f"resume={config['resume']}: the run is at step {done}; training.steps={asked} should be "
            f"{asked + done - steps} or more"
        )


def differences(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, object, object]]:
    """Yield the path, the old and the new value of each option in which two configs differ."""
    for key in sorted({*old, *new}):
        here = f"{path}.{key}" if path else key
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from differences(before, after, here)
        elif before != after and not _is_new(key, old, new):
            yield here, before, after


def _is_new(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Say whether an option has come with a later version, and stands at what was done before."""
    target = new.get("_target_")
    if key in old or not isinstance(target, str) or old.get("_target_") != target:
        return False
    defaults = python_defaults(resolve_name(target))
    return key in defaults and defaults[key] == new[key]
