"""Checks of what may change when a run is resumed."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from metadialog.errors import RunError
from metadialog.options import python_defaults
from metadialog.trust import resolve

# The length of a run and where it reports to may change; anything else would make it another run.
# (`_target_` names the command itself, which is not in the run's own config.)
FREE = ("_target_", "resume", "training.steps", "training.patience", "logger", "device", "threads", "generation")
# The location of the data may change if the checkpoint has a checksum of them.
PLACES = ("dataset.path", "dataset.root", "cache")


def check_same_run(old: Mapping[str, Any], new: Mapping[str, Any], checkpoint: Mapping[str, Any] | None = None) -> None:
    """Check that a run is resumed with the config that it was started with.

    Args:
        old: the config that the run was started with.
        new: the config that it is resumed with.
        checkpoint: the checkpoint to resume from; None if there is none.

    Raises:
        RunError: the configs differ; the message names the differences.
    """
    free = (*FREE, *PLACES) if checkpoint and checkpoint.get("origin") else FREE
    differing = [
        f"{path} is {new_value!r} but was {old_value!r}"
        for path, old_value, new_value in differences(old, new)
        # An option that is missing in the run's own config was added in a later version.
        if _names(old, path) and not any(path == one or path.startswith(f"{one}.") for one in free)
    ]
    if differing:
        raise RunError(
            f"resume={new.get('resume')}: a run is resumed with the config it was started with: "
            f"{'; '.join(differing)}; "
            f"only {', '.join(free[2:])} may change"
        )


def total_steps(config: Mapping[str, Any]) -> int:
    """Return the number of outer steps of a run, including those of a joint start."""
    return int(config["training"]["steps"]) + int(config.get("start", {}).get("steps", 0))


def check_steps(checkpoint: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Check that a run has not already taken more steps than requested.

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
    """Tell whether an option was added in a later version, and has the value of the earlier behaviour."""
    target = new.get("_target_")
    if key in old or not isinstance(target, str) or old.get("_target_") != target:
        return False
    defaults = python_defaults(resolve(target))
    return key in defaults and defaults[key] == new[key]


@dataclass(frozen=True, slots=True)
class Origin:
    """The inputs of a run in addition to its config.

    Attributes:
        data: digest of the dialogues.
        tokenizer: the tokenizer as JSON.
    """

    data: str
    tokenizer: str

    def check(self, checkpoint: Mapping[str, Any], path: Path) -> None:
        """Check that a checkpoint has the same inputs; those of version 0.1.0 do not record them.

        Raises:
            RunError: it has others.
        """
        before = checkpoint.get("origin")
        if before is None:
            return
        if not isinstance(before, Mapping) or not {"data", "tokenizer"} <= before.keys():
            raise RunError(f"{path}: not a checkpoint of a run: origin should hold data and tokenizer")
        if before["data"] != self.data:
            raise RunError(
                f"{path}: the checksum of the dialogues is not that of the run; give it its original data, "
                "or start another run"
            )
        if before["tokenizer"] != self.tokenizer:
            raise RunError(
                f"{path}: the tokenizer trained on the dialogues is not that of the run; the "
                "version of the tokenizers library should be the same"
            )

    def to_dict(self) -> dict[str, str]:
        """Return the values by name."""
        return asdict(self)


def _names(config: Mapping[str, Any], path: str) -> bool:
    """Tell whether a config has a value, possibly null, at a path."""
    node: Any = config
    for name in path.split("."):
        if not isinstance(node, Mapping) or name not in node:
            return False
        node = node[name]
    return True
