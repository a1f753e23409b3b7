"""Search spaces of sweeps, in Hydra's sweep grammar."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import yaml

from metadialog.errors import ConfigError
from metadialog.hydra_internals import (
    ChoiceSweep,
    HydraException,
    IntervalSweep,
    Override,
    OverridesParser,
    RangeSweep,
)

if TYPE_CHECKING:
    import optuna

WORDS = "interval(low,high), range(first,last+1), choice(a,b,...), or tag(log,interval(low,high))"


@dataclass(frozen=True, slots=True)
class Dimension:
    """An option that a sweep varies.

    Attributes:
        key: the option or group, as on the command line.
        kind: type of its values; those of a `choice` are texts in Hydra's grammar.
        low, high: inclusive bounds of numbers.
        step: step of an `int`.
        log: whether the scale is logarithmic.
        choices: values of a `choice`.
    """

    key: str
    kind: Literal["float", "int", "choice"]
    low: float = 0.0
    high: float = 0.0
    step: int = 1
    log: bool = False
    choices: tuple[str, ...] = ()

    def suggest(self, trial: "optuna.Trial") -> str:
        """Draw a value for a trial; return it in Hydra's grammar."""
        if self.kind == "choice":
            return str(trial.suggest_categorical(self.key, self._for_optuna()))
        if self.kind == "int":
            step = 1 if self.log else self.step
            return str(trial.suggest_int(self.key, int(self.low), int(self.high), step=step, log=self.log))
        return repr(trial.suggest_float(self.key, self.low, self.high, log=self.log))

    def extremes(self) -> list[str]:
        """Return the extreme values, which are checked before the sweep starts; if they are valid, all are."""
        if self.kind == "choice":
            return list(self.choices)
        return [repr(int(v) if self.kind == "int" else v) for v in (self.low, self.high)]

    def points(self, number: int) -> list[Any]:
        """Return the values of a grid for Optuna, with `number` values of an interval."""
        if self.kind == "choice":
            return list(self._for_optuna())
        if self.kind == "int" and not self.log:
            return list(range(int(self.low), int(self.high) + 1, self.step))
        import numpy as np

        if self.kind == "int":
            spread = np.geomspace(self.low, self.high, number) if number > 1 else [np.sqrt(self.low * self.high)]
            return sorted({round(float(value)) for value in spread})
        if number == 1:
            return [float(np.sqrt(self.low * self.high)) if self.log else (self.low + self.high) / 2]
        spaced = np.geomspace if self.log else np.linspace
        # The ends are exactly the given bounds.
        return [self.low, *map(float, spaced(self.low, self.high, number)[1:-1]), self.high]

    def _for_optuna(self) -> tuple[int | float | str, ...]:
        """Return the choices as numbers, so that figures sort them, if all of them are."""
        numbers = [_native(choice) for choice in self.choices]
        if all(type(n) in (int, float) and str(n) == text for n, text in zip(numbers, self.choices, strict=True)):
            results = tuple(n for n in numbers if isinstance(n, (int, float)))
            if len({*results}) == len(results):  # 1 and 1.0 are different texts but the same number
                return results
        return self.choices

    def for_wandb(self, points: int | None) -> dict[str, Any]:
        """Return the parameter in the format of a W&B sweep file.

        Args:
            points: number of values of an interval in a grid; None without a grid.
        """
        if self.kind == "choice":
            return {"values": [_native(choice) for choice in self.choices]}
        if points is not None:
            return {"values": self.points(points)}
        if self.kind == "int":
            bounds = {"min": int(self.low), "max": int(self.high)}
            if self.log:
                return {"distribution": "q_log_uniform_values", **bounds, "q": 1}
            if self.step > 1:
                return {"values": self.points(0)}
            return {"distribution": "int_uniform", **bounds}
        return {"distribution": "log_uniform_values" if self.log else "uniform", "min": self.low, "max": self.high}


def search_space(space: Mapping[str, Any], overrides: Sequence[Override]) -> tuple[list[Dimension], list[str]]:
    """Return the varied options and the fixed overrides.

    Args:
        space: search space as in `conf/sweep/space`: options by group, as texts in Hydra's grammar.
        overrides: overrides of the user; a value removes an option from the space, a sweep replaces it.

    Returns:
        The dimensions, and the overrides of every run.

    Raises:
        ConfigError: something is not a sweep, or nothing is varied.
    """
    given = {override.get_key_element(): override for override in overrides}
    dimensions = {}
    for key, text in _options(space, ""):
        if key not in given:
            dimensions[key] = dimension(_parse(key, text))
    for key, override in given.items():
        if override.is_sweep_override():
            dimensions[key] = dimension(override)
    if not dimensions:
        raise ConfigError(f"sweep: varies nothing; give an option some values, as in algorithm.inner_lr={WORDS}")
    fixed = [override.input_line or "" for override in given.values() if not override.is_sweep_override()]
    return list(dimensions.values()), fixed


def dimension(override: Override) -> Dimension:
    """Return the dimension of an override.

    Raises:
        ConfigError: it is not a sweep, or is empty.
    """
    key, value = override.get_key_element(), override.value()
    log = isinstance(value, (IntervalSweep, RangeSweep, ChoiceSweep)) and "log" in value.tags
    if isinstance(value, IntervalSweep):
        return _numbers(override, value.start, value.end, log=log)
    if isinstance(value, RangeSweep) and not value.shuffle:
        numbers = [float(text) for text in override.sweep_string_iterator()]
        whole = all(isinstance(v, int) for v in (value.start, value.stop, value.step))
        if whole and numbers and value.step > 0:
            step = int(value.step)
            return Dimension(key, "int", numbers[0], numbers[-1], step=step, log=log)
    if not override.is_discrete_sweep():
        raise ConfigError(f"{override.input_line}: is not a sweep; it should be {WORDS}")
    choices = tuple(dict.fromkeys(override.sweep_string_iterator()))
    if not choices:
        raise ConfigError(f"{override.input_line}: has no value; it should be {WORDS}")
    return Dimension(key, "choice", choices=choices)


def _numbers(override: Override, low: float | None, high: float | None, *, log: bool) -> Dimension:
    if low is None or high is None or not low < high:
        raise ConfigError(f"{override.input_line}: its first bound should be below its second")
    if log and low <= 0:
        raise ConfigError(f"{override.input_line}: has no logarithm at {low}; its bounds should be above 0")
    kind: Literal["int", "float"] = "int" if isinstance(low, int) and isinstance(high, int) else "float"
    # Hydra reads `interval(1, 5)` as integers only in the form int(interval(1, 5)).
    return Dimension(override.get_key_element(), kind, low, high, log=log)


def _options(space: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for name, value in space.items():
        here = f"{path}.{name}" if path else str(name)
        if isinstance(value, Mapping):
            yield from _options(value, here)
        elif value is not None:  # null removes an option of the base space
            yield here, str(value)


def _parse(key: str, text: str) -> Override:
    try:
        return OverridesParser.create().parse_override(f"{key}={text}")
    except HydraException as error:
        raise ConfigError(f"{key}={text}: cannot be read; a search space should have {WORDS}") from error


def _native(choice: str) -> object:
    value = yaml.safe_load(choice)
    return value if isinstance(value, (int, float, bool)) or value is None else choice
