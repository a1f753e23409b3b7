"""Dispatch of `metadialog <command> [hydra overrides]`.

Each command is a Hydra application; this module only selects one without heavy imports, so that `metadialog --help` is
fast.
"""

import difflib
import gc
import io
import os
import sys
from importlib import metadata

from metadialog.entry import INTERRUPTED

COMMANDS = {
    "train": "meta-train a dialogue model over topics, and evaluate it on held-out topics",
    "evaluate": "evaluate a finished run again, on the same or on other data and options",
    "sweeps": "list the runs of a sweep, print its best configuration, or run what is missing",
    "sweep-config": "write a sweep file of Weights & Biases, for `wandb sweep` and `wandb agent`",
    "table": "compare runs: tables with intervals and tests, figures, and a report as one web page",
    "adapt": "adapt a trained model to dialogues of your own, and save it",
    "chat": "talk to a trained or an adapted model in the terminal",
    "generate": "reply to contexts with a trained or an adapted model, with JSON Lines as input and output",
    "serve": "serve trained and adapted models over HTTP, with a page to talk to them",
    "predict": "answer a test specification of DSTC8's fast adaptation task with a finished run",
    "data": "check a data set, and describe its topics, their split, and what was dropped",
    "bench": "measure the cost of the meta-gradient by engine, compared with other libraries",
}

_COMPLETION_FLAGS = ("-sc", "--shell-completion")
_BROKEN_PIPE = 141  # exit code of a program ended by SIGPIPE, as in shells


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items()]
    return "\n".join(
        [
            "usage: metadialog <command> [hydra overrides]",
            "",
            "commands:",
            *lines,
            "",
            "`metadialog <command> --help` shows the command's options; `--cfg job` its whole config; `-m` sweeps.",
            'Tab completion: eval "$(metadialog --shell-completion install=bash)" (or zsh, fish).',
        ]
    )


def _fail(message: str, code: int = 2) -> int:
    print(f"metadialog: {message}", file=sys.stderr)  # noqa: T201
    return code


def _run(command: str, arguments: list[str]) -> int:
    if command == "sweeps":  # has its own arguments and no config
        from metadialog.commands.sweeps import run as run_sweeps

        return run_sweeps(arguments)
    if command == "sweep-config":
        from metadialog.commands.sweep_config import run as run_sweep_config

        return run_sweep_config(arguments)
    from metadialog.cli.application import run

    return run(command, arguments)


def _complete(arguments: list[str]) -> int:
    """Answer Hydra's completion script, which does not support commands.

    The shell passes the line in COMP_LINE. The name of the command is completed here, and the rest by the command's
    Hydra application.
    """
    if not any(argument.startswith("query=") for argument in arguments):
        return _run("train", [_COMPLETION_FLAGS[0], *arguments])
    program, _, rest = os.environ.get("COMP_LINE", "metadialog ").partition(" ")
    command, space, overrides = rest.lstrip().partition(" ")
    if not space:
        print("\n".join(name for name in COMMANDS if name.startswith(command)))  # noqa: T201
        return 0
    if command not in COMMANDS:
        return 0
    if command == "sweeps":
        from metadialog.commands.sweeps import complete

        print("\n".join(complete(overrides)))  # noqa: T201
        return 0
    os.environ["COMP_LINE"] = f"{program} {overrides}"
    # A sweep file uses the overrides of `train`.
    return _run("train" if command == "sweep-config" else command, [_COMPLETION_FLAGS[0], *arguments])


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code (2 for user errors)."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # characters that a terminal cannot show must not end a run
    # Nearly all objects created until a command runs are kept; collecting garbage would take a tenth of the startup
    # time.
    collects = gc.isenabled()
    gc.disable()
    try:
        return _dispatch(sys.argv[1:] if arguments is None else arguments)
    except BrokenPipeError:
        # The reader has closed the pipe, as in `metadialog train --help | head`. Python would report it again on exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    finally:
        if collects:
            gc.enable()


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())  # noqa: T201
        return 0
    command, *rest = arguments
    if command == "--version":
        print(f"metadialog {metadata.version('metadialog')}")  # noqa: T201
        return 0
    if command in _COMPLETION_FLAGS:
        return _complete(rest)
    if command not in COMMANDS:
        nearest = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        return _fail(f"{command!r} is not a command; {hint}the commands are {', '.join(COMMANDS)}")
    return _run(command, rest)


if __name__ == "__main__":
    sys.exit(main())
