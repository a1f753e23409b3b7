"""`metadialog generate run=DIR`: replies to contexts, with JSON Lines as input and output."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from metadialog.cli.composed_job import Job
from metadialog.config import build
from metadialog.datasets.local import expand, refuse_special
from metadialog.errors import DataError, RunError
from metadialog.escapes import escaped_json
from metadialog.experiment.hardware import find_device
from metadialog.experiment.talking import GenerateConfig
from metadialog.inference.answering import LAYOUT, Answers, line_batches
from metadialog.inference.folder import load_model
from metadialog.runs.atomic import replacing
from metadialog.text import counted

Write = Callable[[str], object]


def main(job: Job) -> None:
    """Reply to each context, in order; an invalid line gives an error object.

    Raises:
        DataError: the input or the dialogues cannot be read.
        RunError: the model cannot be read.
    """
    config: GenerateConfig = build(job.config)
    if config.input == "-" == config.dialogues:
        raise DataError("dialogues=-: the contexts are read from the standard input already; name a file")
    model = load_model(config.run, device=find_device(config.device), threads=config.threads)
    if config.dialogues is not None:
        model = model.adapt(config.dialogues)
    generation = None if config.generation is None else build(config.generation)
    answer = Answers(model, config.n, generation, config.seed, scores=config.scores)
    failed = total = 0
    with _source(config.input) as source, _target(config.output) as write:
        for lines in line_batches(source, config.batch):
            for result in answer(lines):
                failed += "error" in result
                total += 1
                write(escaped_json(json.dumps(result, ensure_ascii=False)))
    if failed:
        print(f"metadialog generate: {failed} of {counted(total, 'line')} could not be answered", file=sys.stderr)  # noqa: T201


@contextmanager
def _source(path: str) -> Iterator[BinaryIO]:
    if path == "-":
        yield sys.stdin.buffer
        return
    file = expand(path, "input")
    refuse_special(file, "input")
    try:
        opened = file.open("rb")
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}; input should name a file of {LAYOUT}") from error
    with opened:
        yield opened


@contextmanager
def _target(path: str) -> Iterator[Write]:
    """Yield a function that writes a line, to the standard output or to a file that is created atomically."""
    if path == "-":
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")
        yield lambda line: print(line, flush=True)  # noqa: T201
        return
    file = expand(path, "output")
    refuse_special(file, "output")
    if file.is_dir():
        raise RunError(f"output={path}: is a folder; it should be a file")
    with replacing(file) as partial, partial.open("w", encoding="utf-8", errors="replace") as opened:
        yield lambda line: opened.write(f"{line}\n")
