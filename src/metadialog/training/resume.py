"""What may change when a run goes on, and what may not."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from metadialog.errors import RunError
from metadialog.options import python_defaults
from metadialog.trust import resolve

# How long a run goes on and where it reports to may change; anything else would make it another run.
# (`_target_` names the command itself, which the run's own config does not hold.)
FREE = ("_target_", "resume", "training.steps", "training.patience", "logger", "device", "threads", "generation")
# Where the data lies, if the checkpoint says by a checksum what it is.
PLACES = ("dataset.path", "dataset.root", "cache")


def check_same_run(old: Mapping[str, Any], new: Mapping[str, Any], checkpoint: Mapping[str, Any] | None = None) -> None:
    """Check that a run goes on with the config that it began with.

    Args:
        old: the config that the run began with.
        new: the config that it is to go on with.
        checkpoint: what it goes on from; None if it has none.

    Raises:
        RunError: naming what differs.
    """
    free = (*FREE, *PLACES) if checkpoint and checkpoint.get("origin") else FREE
    differing = [
        f"{path} is {new_value!r} but was {old_value!r}"
        for path, old_value, new_value in differences(old, new)
        # What the run's own config does not name is an option of a later version.
        if _names(old, path) and not any(path == one or path.startswith(f"{one}.") for one in free)
    ]
    if differing:
        raise RunError(
            f"resume={new.get('resume')}: a run goes on as it began: {'; '.join(differing)}; "
            f"only {', '.join(free[2:])} may change"
        )


def total_steps(config: Mapping[str, Any]) -> int:
    """Return the outer steps of a run: those of a joint start, and the algorithm's own."""
    return int(config["training"]["steps"]) + int(config.get("start", {}).get("steps", 0))


def check_steps(checkpoint: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Check that a run has not gone further than it is asked to.

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
    defaults = python_defaults(resolve(target))
    return key in defaults and defaults[key] == new[key]


@dataclass(frozen=True, slots=True)
class Origin:
    """What a run's weights depend on beside its config.

    Attributes:
        data: the digest of its dialogues.
        tokenizer: all of it, as JSON.
    """

    data: str
    tokenizer: str

    def check(self, checkpoint: Mapping[str, Any], path: Path) -> None:
        """Check that a checkpoint was made from the same; one of version 0.1.0 does not say.

        Raises:
            RunError: it was not.
        """
        before = checkpoint.get("origin")
        if before is None:
            return
        if not isinstance(before, Mapping) or not {"data", "tokenizer"} <= before.keys():
            raise RunError(f"{path}: no checkpoint of a run: origin should hold data and tokenizer")
        if before["data"] != self.data:
            raise RunError(
                f"{path}: the dialogues are not those that the run began with, by their checksum; give it the data "
                "that it had, or start another run"
            )
        if before["tokenizer"] != self.tokenizer:
            raise RunError(
                f"{path}: the tokenizer that is made from the dialogues is not the one that the run began with; the "
                "version of the tokenizers library should be the same"
            )

    def to_dict(self) -> dict[str, str]:
        """Return it by name."""
        return asdict(self)


def _names(config: Mapping[str, Any], path: str) -> bool:
    """Say whether a config has a value, be it null, at a path."""
    node: Any = config
    for name in path.split("."):
        if not isinstance(node, Mapping) or name not in node:
            return False
        node = node[name]
    return True
