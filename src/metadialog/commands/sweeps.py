"""`metadialog sweeps list|best|resume DIR`: what ran, which run is best, and going on with what is missing."""

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.table import Table

from metadialog.cli.user_errors import guarded
from metadialog.console import make_console
from metadialog.errors import RunError
from metadialog.sweeps.directory import Record
from metadialog.sweeps.outcomes import Outcome
from metadialog.sweeps.search import best_record, summary
from metadialog.sweeps.tree import read_records, read_start, replaced


def run(arguments: list[str]) -> int:
    """Do what is asked for; return the exit code.

    Args:
        arguments: what followed `metadialog sweeps` on the command line.
    """
    options, overrides = _parser().parse_known_args(arguments)
    if options.what is None:
        _parser().print_help()
        return 0
    flags = [override for override in overrides if override.startswith("-") or options.what != "resume"]
    if flags:
        _parser().error(f"`{options.what}` does not take {flags[0]}")
    return guarded("sweeps", lambda: _WHAT[options.what](Path(options.directory).expanduser(), overrides))


def complete(line: str) -> list[str]:
    """Return what may follow `metadialog sweeps` where so much of the line is there; directories the shell knows."""
    return [what for what in _MEANINGS if what.startswith(line)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("metadialog sweeps", description="What came of a sweep, and going on with it.")
    what = parser.add_subparsers(dest="what", metavar="list|best|resume")
    for name, meaning in _MEANINGS.items():
        one = what.add_parser(name, help=meaning, description=meaning)
        one.add_argument("directory", metavar="DIR", help="directory of the sweep: the one that its runs lie in")
    return parser


def _list(directory: Path, _: Sequence[str]) -> int:
    """Print a line for each run."""
    records = read_records(directory)
    table = Table("run", "state", "validation loss", "varied", "reason")
    for record, varied in zip(records, _varied(records), strict=True):
        value = "" if record.value is None else f"{record.value:.4f}"
        state = record.state if Outcome(record.state).is_final else _UNFINISHED[record.state]
        table.add_row(record.directory, state, value, "\n".join(varied), record.reason or "")
    console = make_console()
    console.print(table, markup=False)
    console.print(summary(records), highlight=False, markup=False)
    return 0


def _best(directory: Path, _: Sequence[str]) -> int:
    """Print the best run's overrides, and nothing else on stdout, to be pasted behind `metadialog train`."""
    records = read_records(directory)
    best = best_record(records)
    if best is None:
        raise RunError(f"{directory}: no run has finished; {summary(records)}")
    where = directory / best.directory
    print(f"best validation loss {best.value:.4f}, of run {where}:", file=sys.stderr)  # noqa: T201
    print(shlex.join(best.overrides))  # noqa: T201
    return 0


def _resume(directory: Path, overrides: Sequence[str]) -> int:
    """Start the sweep once more, where and as it was started; what is done is not done again."""
    from metadialog.cli.application import run as run_application

    directory = directory.absolute()
    start = read_start(directory)
    if not start.folder.is_dir():
        raise RunError(f"{directory}: was started in {start.folder}, which is no longer there; make it, or link it")
    os.chdir(start.folder)
    return run_application("train", ["-m", *replaced(start.arguments, list(overrides))])


_UNFINISHED = {"interrupted": "interrupted", "running": "running, or killed", "missing": "not begun"}
_WHAT: dict[str, Callable[[Path, Sequence[str]], int]] = {"list": _list, "best": _best, "resume": _resume}
_MEANINGS = {
    "list": "what ran, with which values, what came of it, and what failed and why",
    "best": "the best finished run's overrides, to paste behind `metadialog train`",
    "resume": "run what is missing, and nothing twice; overrides may follow, such as sweep.trials=40",
}


def _varied(records: Sequence[Record]) -> list[list[str]]:
    """Return the overrides that not all runs have in common."""
    common = set.intersection(*({*record.overrides} for record in records)) if len(records) > 1 else set()
    return [[override for override in record.overrides if override not in common] for record in records]
