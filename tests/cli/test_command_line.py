"""Flags and overrides in any order."""

import pytest

from metadialog.cli.command_line import CommandLine
from metadialog.errors import ConfigError
from metadialog.hydra_internals import TolerantParser, get_args_parser


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


def test_help_that_is_not_yet_text_is_accepted() -> None:
    parser = get_args_parser()
    assert isinstance(parser, TolerantParser)  # Hydra 1.3's own is refused since Python 3.14
    parser.add_argument("--late", help=object())  # type: ignore[arg-type]
    assert "--late" in parser.format_usage()
