"""`metadialog sweeps list|best|resume DIR`: list the runs, show the best one, and run missing ones."""

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from metadialog.cli.user_errors import guarded
from metadialog.console import make_console
from metadialog.errors import RunError
from metadialog.escapes import escaped
from metadialog.sweeps.listing import COLUMNS, ORDERS, rows
from metadialog.sweeps.search import best_record, summary
from metadialog.sweeps.tree import config_dir, read_records, read_start, replaced

_MOST_WIDE = 48  # characters of a column


def run(arguments: list[str]) -> int:
    """Run the command; return the exit code.

    Args:
        arguments: arguments after `metadialog sweeps`.
    """
    options, overrides = _parser().parse_known_args(arguments)
    if options.what is None:
        _parser().print_help()
        return 0
    flags = [override for override in overrides if override.startswith("-") or options.what != "resume"]
    if flags:
        _parser().error(f"`{options.what}` does not take {flags[0]}")
    return guarded("sweeps", lambda: _WHAT[options.what](Path(options.directory).expanduser(), options, overrides))


def complete(line: str) -> list[str]:
    """Return the completions of a command line after `metadialog sweeps`, except directories."""
    return [what for what in _MEANINGS if what.startswith(line)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("metadialog sweeps", description="Results of a sweep, and resuming it.")
    what = parser.add_subparsers(dest="what", metavar="list|best|resume")
    for name, meaning in _MEANINGS.items():
        one = what.add_parser(name, help=meaning, description=meaning)
        one.add_argument("directory", metavar="DIR", help="directory of the sweep, which contains its runs")
        if name == "list":
            one.add_argument("--sort", choices=ORDERS, default="run", help="column to sort by (%(default)s)")
            one.add_argument("--reverse", action="store_true", help="sort in descending order")
    return parser


def _list(directory: Path, options: argparse.Namespace, _: Sequence[str]) -> int:
    """Print a line for each run: a table in a terminal, columns between tabs anywhere else."""
    records = read_records(directory)
    lines = rows(records, options.sort, reverse=options.reverse)
    console = make_console()
    if console.is_terminal:
        table = Table(box=SIMPLE_HEAD, pad_edge=False, expand=True)
        for column, cells in zip(COLUMNS, zip(COLUMNS, *lines, strict=True), strict=True):
            # Reasons are shortened, as the other columns identify runs.
            width = None if column == "reason" else min(max(map(len, cells)), _MOST_WIDE)
            ratio = 1 if column == "reason" else None
            table.add_column(column, no_wrap=True, overflow="ellipsis", min_width=width, max_width=width, ratio=ratio)
        for line in lines:
            table.add_row(*map(Text, line))
        console.print(table)
    else:
        print(escaped("\n".join("\t".join(line) for line in (COLUMNS, *lines))))  # noqa: T201
    console.print(summary(records), highlight=False, markup=False)
    return 0


def _best(directory: Path, _: argparse.Namespace, __: Sequence[str]) -> int:
    """Print only the best run's overrides to stdout, for use after `metadialog train`."""
    records = read_records(directory)
    best = best_record(records)
    if best is None:
        raise RunError(f"{directory}: no run has finished; {summary(records)}")
    where = directory / best.directory
    print(f"best validation loss {best.value:.4f}, of run {where}:", file=sys.stderr)  # noqa: T201
    print(escaped(shlex.join([*config_dir(directory), *best.overrides])))  # noqa: T201
    return 0


def _resume(directory: Path, _: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Start the sweep again in the same way; finished runs are not repeated."""
    from metadialog.cli.application import run as run_application
    from metadialog.composing.remembered import check_start

    directory = directory.absolute()
    start = read_start(directory)
    if not start.folder.is_dir():
        raise RunError(f"{directory}: was started in {start.folder}, which is no longer there; make it, or link it")
    check_start(start.arguments, list(overrides), directory)
    os.chdir(start.folder)
    return run_application("train", ["-m", *replaced(start.arguments, list(overrides))])


_WHAT: dict[str, Callable[[Path, argparse.Namespace, Sequence[str]], int]] = {
    "list": _list,
    "best": _best,
    "resume": _resume,
}
_MEANINGS = {
    "list": "list the runs with their values and results, and why runs failed",
    "best": "print the best finished run's overrides, for use after `metadialog train`",
    "resume": "run what is missing; overrides may follow, such as sweep.trials=40",
}
