"""Starts runs for the tests of faults: everything is imported once, and each run is forked from this process.

Reads one JSON object per line from stdin: `arguments` (of `metadialog`), `environment`, and `output` (a file for stdout
and stderr); answers with the process id. With `wait`, the id of a run, it answers with the exit code after its end.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from metadialog import cli
from metadialog.commands import evaluate, train  # noqa: F401 - so that the runs need not import them
from metadialog.training import distributed  # noqa: F401


def start(request: dict[str, Any]) -> int:
    child = os.fork()
    if child:
        return child
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(request["environment"])
    sys.argv = ["metadialog"]
    try:
        code = cli.main(request["arguments"])
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    sys.stdout.flush()
    os._exit(code)


def main() -> None:
    # Import what torch would import later.
    torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])
    torch.set_num_threads(1)
    os.chdir(Path(sys.argv[1]))
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            print(os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1]), flush=True)
        else:
            print(start(request), flush=True)


if __name__ == "__main__":
    main()
