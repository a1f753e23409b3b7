"""The command line of a Hydra application, taken apart."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn, Self

from metadialog.config import nearest
from metadialog.errors import ConfigError
from metadialog.hydra_internals import get_args_parser


@dataclass(frozen=True, slots=True)
class CommandLine:
    """Flags and overrides, in whatever order they were typed.

    Attributes:
        flags: Hydra's own, with their values.
        overrides: the others.
    """

    flags: tuple[str, ...]
    overrides: tuple[str, ...]

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        """Take the arguments of a command apart.

        Raises:
            ConfigError: there is no such flag, or a flag lacks its value.
        """
        known = get_args_parser()._option_string_actions  # noqa: SLF001 - argparse does not say which take a value
        flags: list[str] = []
        overrides: list[str] = []
        waiting = [*arguments]
        while waiting:
            argument = waiting.pop(0)
            if not argument.startswith("-"):
                overrides.append(argument)
                continue
            flags.append(argument)
            action = known.get(argument) or _abbreviated(argument, known)
            if action is None or action.nargs == 0 or not waiting:
                continue
            if action.nargs == "?" and waiting[0] not in (action.choices or ()):
                flags[-1] = f"{action.option_strings[0]}={action.const}"  # else what comes behind it would be its value
            elif not waiting[0].startswith("-"):
                flags.append(waiting.pop(0))
        line = cls(tuple(flags), tuple(overrides))
        _ = line.options  # which says what is wrong with the flags
        return line

    @property
    def options(self) -> argparse.Namespace:
        """The flags as Hydra reads them.

        Raises:
            ConfigError: they are wrong; argparse would print its whole usage.
        """
        parser = get_args_parser()

        def refuse(message: str) -> NoReturn:
            names = [name for name in parser._option_string_actions if name.startswith("--")]  # noqa: SLF001
            raise ConfigError(f"{message}; {nearest(self._wrong_flag(message), names)}")

        parser.error = refuse  # type: ignore[method-assign]
        return parser.parse_args(list(self.arguments))

    def _wrong_flag(self, message: str) -> str:
        """Return the flag that a message of argparse is about."""
        return next((flag for flag in self.flags if flag in message), "")

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments in an order that Hydra can read: a flag between overrides is one that it cannot."""
        return (*self.flags, *self.overrides)

    @property
    def only_shows(self) -> bool:
        """Whether nothing is to be run: help, a config, or a completion is asked for."""
        options = self.options
        return bool(options.help or options.hydra_help or options.shell_completion or options.info or options.cfg)

    def with_overrides(self, overrides: Sequence[str]) -> Self:
        """Return the same with other overrides."""
        return replace(self, overrides=tuple(overrides))

    def with_config_dir(self, folder: str | None) -> Self:
        """Return the same with a folder of further configs, unless one is named or there is none."""
        if folder is None or self.options.config_dir:
            return self
        return replace(self, flags=(*self.flags, "--config-dir", folder))


def _abbreviated(argument: str, known: Mapping[str, argparse.Action]) -> argparse.Action | None:
    """Return the only flag that begins like this, as argparse understands it."""
    matching = {id(action): action for name, action in known.items() if name.startswith(argument)}
    return next(iter(matching.values())) if argument.startswith("--") and len(matching) == 1 else None
