"""The identity of a sweep, which consists of the composed configs of its runs, not of the typed overrides."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from metadialog.config import show
from metadialog.errors import RunError
from metadialog.runs import layout
from metadialog.runs.config_file import flat, read_config
from metadialog.sweeps.directory import SweepDirectory
from metadialog.sweeps.plan import GROUP, Plan

Compose = Callable[[list[str]], Mapping[str, Any]]
"""Composes the resolved config of a run from its overrides."""
Options = Mapping[str, str]
"""Option -> value on one line."""

# Options that results do not depend on: device, logging, and the order of runs.
_FREE = ("_target_", "logger", "device", "threads", "cache", "resume", GROUP, "hydra")
# Locations of data, which may differ between machines that share a study.
_PLACES = ("dataset.root",)
# Options of the sweep that may differ between two starts.
_FREE_OF_SWEEP = ("_target_", "name", "trials", "jobs", "retry")
_SHOWN = 5  # options named in a message


class Identity:
    """The identity of a sweep.

    Attributes:
        options: options of the first run, without those that are varied; options that only other values of a group have
            are included as `algorithm=fomaml: algorithm.first_order`.
        space: varied options, as texts.

    Args:
        options: see above.
        plan: plan of the sweep.
        compose: composes the config of a run.
    """

    def __init__(self, options: Options, plan: Plan, compose: Compose) -> None:
        self.options = options
        self._plan = plan
        self._compose = compose
        self.space = sorted(map(repr, plan.dimensions))

    def digest(self, sweep: Mapping[str, Any]) -> str:
        """Return a digest of the sweep.

        Args:
            sweep: node `sweep` of the config.
        """
        settings = {key: value for key, value in sweep.items() if key not in _FREE_OF_SWEEP}
        parts = [self.options, self.space, settings]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()

    def shared(self) -> dict[str, str]:
        """Return the options that must be equal on all machines that share a study."""
        return {key: value for key, value in self.options.items() if not _below(key, _PLACES)}

    def check(self, directory: SweepDirectory) -> None:
        """Check that a directory holds this sweep or none.

        Raises:
            RunError: it holds another sweep.
        """
        if not directory.exists():
            return
        about = directory.read()
        if (about.get("space") or self.space) != self.space:
            raise RunError(
                f"{directory.path}: holds a sweep that {other_space(about['space'], self.space)}; give this one "
                "another sweep.name or hydra.sweep.dir"
            )
        before = about.get("options")
        now: Options = self.options
        if before is None:  # a sweep of version 0.1.0, which has only the configs of its runs
            before, now = self._of_a_run(directory)
        if differing := differences(before, now):
            raise RunError(
                f"{directory.path}: holds a sweep of other runs ({differing}); give this one another sweep.name or "
                "hydra.sweep.dir"
            )

    def _of_a_run(self, directory: SweepDirectory) -> tuple[Options, Options]:
        """Return the options of a run as it was and as it would be now, as far as both versions have them."""
        keys = {dimension.key for dimension in self._plan.dimensions}
        for record in directory.read_records():
            path = directory.path / record.directory / layout.CONFIG
            if path.exists():
                own = [line for line in record.overrides if line.partition("=")[0] in keys]
                before = _options(read_config(path), set())
                now = _options(self._compose([*self._plan.fixed, *own]), set())
                common = {*before} & {*now}
                return {key: before[key] for key in common}, {key: now[key] for key in common}
        return {}, {}


def identify(plan: Plan, compose: Compose) -> Identity:
    """Compute the identity of a sweep from configs in which each varied value occurs once.

    Args:
        plan: plan of the sweep.
        compose: composes the config of a run.
    """
    varied = {dimension.key.lstrip("+") for dimension in plan.dimensions}
    corners = list(plan.corners())
    result = _options(compose(corners[0]), varied)
    for corner in corners[1:]:
        [changed] = [line for line in corner if line not in corners[0]] or [""]
        options = _options(compose(corner), varied)
        keys = sorted(key for key in {*result, *options} if result.get(key) != options.get(key) and ": " not in key)
        result |= {f"{changed}: {key}": options.get(key, "-") for key in keys}
    return Identity(result, plan, compose)


def other_space(before: Sequence[str], now: Sequence[str]) -> str:
    """Describe the differences between two search spaces."""
    known, wanted = ({text.split("'")[1]: text for text in texts} for texts in (before, now))
    differing = sorted(key for key in {*known, *wanted} if known.get(key) != wanted.get(key))
    return f"varies other things ({', '.join(differing)})"


def differences(before: Options, now: Options) -> str:
    """Describe the options that differ on one line; empty if none does."""
    keys = sorted(key for key in {*before, *now} if before.get(key, "-") != now.get(key, "-"))
    named = [f"{key} is {now.get(key, '-')} but was {before.get(key, '-')}" for key in keys[:_SHOWN]]
    more = [f"and {len(keys) - _SHOWN} more"] if len(keys) > _SHOWN else []
    return "; ".join([*named, *more])


def _options(config: Mapping[str, Any], varied: set[str]) -> dict[str, str]:
    # The choice of a group is represented by its options.
    groups = {key for key, value in config.items() if isinstance(value, Mapping)}
    left_out = (*_FREE, *(varied - groups))
    return {key: show(value) for key, value in flat(config).items() if not _below(key, left_out)}


def _below(key: str, names: Sequence[str]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in names)
