"""Flags and overrides in any order."""

import pytest

from metadialog.cli.command_line import CommandLine
from metadialog.errors import ConfigError


@pytest.mark.parametrize(
    ("arguments", "flags", "overrides"),
    [
        (["a=1", "-m", "b=1,2"], ("-m",), ("a=1", "b=1,2")),
        (["a=1", "--config-dir", "b=2"], ("--config-dir", "b=2"), ("a=1",)),
        (["--config-dir=x", "a=1", "-c", "job", "c=2"], ("--config-dir=x", "-c", "job"), ("a=1", "c=2")),
        (["--config-d", "x", "a=1", "--multi"], ("--config-d", "x", "--multi"), ("a=1",)),
        (["--info", "a=1"], ("--info=all",), ("a=1",)),
        (["--info", "searchpath", "~logger"], ("--info", "searchpath"), ("~logger",)),
        ([], (), ()),
    ],
)
def test_flags_stand_before_overrides(arguments: list[str], flags: tuple[str, ...], overrides: tuple[str, ...]) -> None:
    line = CommandLine.parse(arguments)
    assert (line.flags, line.overrides) == (flags, overrides)
    assert tuple(line.options.overrides) == overrides


def test_a_config_dir_is_added_where_none_is_named() -> None:
    assert CommandLine.parse(["a=1"]).with_config_dir("x").options.config_dir == "x"
    assert CommandLine.parse(["a=1", "-cd", "y"]).with_config_dir("x").options.config_dir == "y"
    assert CommandLine.parse(["a=1"]).with_config_dir(None).flags == ()


def test_an_unknown_flag_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^unrecognized arguments: --multirn; did you mean --multirun"):
        CommandLine.parse(["a=1", "--multirn"])
