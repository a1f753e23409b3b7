"""Parsing of the command line of a Hydra application."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn, Self

from metadialog.config import nearest
from metadialog.errors import ConfigError
from metadialog.hydra_internals import get_args_parser


@dataclass(frozen=True, slots=True)
class CommandLine:
    """Flags and overrides of a command line, in any order.

    Attributes:
        flags: Hydra's flags with their values.
        overrides: other arguments.
    """

    flags: tuple[str, ...]
    overrides: tuple[str, ...]

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        """Parse the arguments of a command.

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
                flags[-1] = (
                    f"{action.option_strings[0]}={action.const}"  # otherwise the next argument would be its value
                )
            elif not waiting[0].startswith("-"):
                flags.append(waiting.pop(0))
        line = cls(tuple(flags), tuple(overrides))
        _ = line.options  # raises an error for wrong flags
        return line

    @property
    def options(self) -> argparse.Namespace:
        """The parsed flags.

        Raises:
            ConfigError: they are wrong, for which argparse would print its usage.
        """
        parser = get_args_parser()

        def refuse(message: str) -> NoReturn:
            names = [name for name in parser._option_string_actions if name.startswith("--")]  # noqa: SLF001
            raise ConfigError(f"{message}; {nearest(self._wrong_flag(message), names)}")

        parser.error = refuse  # type: ignore[method-assign]
        return parser.parse_args(list(self.arguments))

    def _wrong_flag(self, message: str) -> str:
        """Return the flag in an error message of argparse."""
        return next((flag for flag in self.flags if flag in message), "")

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments in an order that Hydra supports, which excludes flags between overrides."""
        return (*self.flags, *self.overrides)

    @property
    def only_shows(self) -> bool:
        """Whether only help, a config, or a completion is requested."""
        options = self.options
        return bool(options.help or options.hydra_help or options.shell_completion or options.info or options.cfg)

    def with_overrides(self, overrides: Sequence[str]) -> Self:
        """Return a copy with other overrides."""
        return replace(self, overrides=tuple(overrides))

    def with_config_dir(self, folder: str | None) -> Self:
        """Return a copy with an additional config folder, unless one is set already or `folder` is None."""
        if folder is None or self.options.config_dir:
            return self
        return replace(self, flags=(*self.flags, "--config-dir", folder))


def _abbreviated(argument: str, known: Mapping[str, argparse.Action]) -> argparse.Action | None:
    """Return the unique flag with this prefix, as in argparse."""
    matching = {id(action): action for name, action in known.items() if name.startswith(argument)}
    return next(iter(matching.values())) if argument.startswith("--") and len(matching) == 1 else None
