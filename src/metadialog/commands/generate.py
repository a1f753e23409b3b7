"""`metadialog generate run=DIR`: replies to contexts, with JSON Lines as input and output."""

import json
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, BinaryIO

from metadialog.cli.composed_job import Job
from metadialog.config import build
from metadialog.datasets.local import expand, refuse_special
from metadialog.errors import DataError, RunError
from metadialog.escapes import escaped_json
from metadialog.experiment.hardware import find_device
from metadialog.experiment.talking import GenerateConfig
from metadialog.inference.dialogues import as_turns
from metadialog.inference.folder import load_model
from metadialog.inference.model import AdaptableModel
from metadialog.inference.results import Reply
from metadialog.runs.atomic import replacing
from metadialog.text import counted

LAYOUT = '{"context": ["...", "..."]}'
_AHEAD = 64  # lines that are read in advance
_MOST_BYTES = 2**20  # of a line

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
    answer = _Answers(model, config)
    failed = total = 0
    with _source(config.input) as source, _target(config.output) as write:
        for lines in _batches(source, config.batch):
            for result in answer(lines):
                failed += "error" in result
                total += 1
                write(escaped_json(json.dumps(result, ensure_ascii=False)))
    if failed:
        print(f"metadialog generate: {failed} of {counted(total, 'line')} could not be answered", file=sys.stderr)  # noqa: T201


class _Answers:
    """Answers lines in batches."""

    def __init__(self, model: AdaptableModel, config: GenerateConfig) -> None:
        self._model = model
        self._n = config.n
        self._generation = None if config.generation is None else build(config.generation)
        self._seed = config.seed
        self._scores = config.scores

    def __call__(self, lines: list[tuple[int, bytes]]) -> list[dict[str, Any]]:
        """Return the output for each of the numbered lines."""
        results: list[dict[str, Any]] = [{} for _ in lines]
        contexts = []
        for index, (number, line) in enumerate(lines):
            try:
                request = _parse(line)
                contexts.append((index, as_turns(request["context"])))
                if "id" in request:
                    results[index]["id"] = request["id"]
            except DataError as error:
                results[index] = {"error": str(error), "line": number}
        replies = self._model.replies([turns for _, turns in contexts], self._n, self._generation, seed=self._seed)
        for (index, _), outcome in zip(contexts, replies, strict=True):
            results[index] |= self._show(outcome)
        return results

    def _show(self, replies: list[Reply]) -> dict[str, Any]:
        if self._n == 1:
            return self._one(replies[0])
        return {"replies": [self._one(reply) for reply in replies]}

    def _one(self, reply: Reply) -> dict[str, Any]:
        shown: dict[str, Any] = {"reply": str(reply)}
        if self._scores:
            shown["score"] = reply.score if reply.score == reply.score else None
        return shown


def _parse(line: bytes) -> dict[str, Any]:
    if len(line) > _MOST_BYTES:
        raise DataError(f"the line has more than {_MOST_BYTES:,} bytes; it should be {LAYOUT}")
    try:
        request = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"byte {error.start + 1} of the line is not UTF-8; save it as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"not valid JSON ({error}); it should be {LAYOUT}") from error
    if not isinstance(request, dict) or "context" not in request:
        raise DataError(f'the line has no "context"; it should be {LAYOUT}')
    return request


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


def _batches(source: BinaryIO, size: int) -> Iterator[list[tuple[int, bytes]]]:
    """Yield batches of non-blank lines with their numbers, of up to `size` available lines."""
    read: queue.Queue[tuple[int, bytes] | Exception | None] = queue.Queue(_AHEAD)

    def fill() -> None:
        try:
            for number in count(1):
                line = source.readline(_MOST_BYTES + 1)
                rest = line
                while len(rest) > _MOST_BYTES and not rest.endswith(b"\n"):  # the rest of a too long line is dropped
                    rest = source.readline(_MOST_BYTES + 1)
                if not line:
                    break
                if line.strip():
                    read.put((number, line))
            read.put(None)
        except (OSError, ValueError) as error:
            read.put(error)

    threading.Thread(target=fill, daemon=True).start()
    ended = False
    while not ended:
        batch = []
        item = read.get()
        while True:
            if isinstance(item, Exception):
                raise DataError(f"the input cannot be read: {item}") from item
            if item is None:
                ended = True
                break
            batch.append(item)
            if len(batch) == size:
                break
            try:
                item = read.get_nowait()
            except queue.Empty:
                break
        if batch:
            yield batch
