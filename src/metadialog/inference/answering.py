"""Contexts in JSON Lines, answered in batches of the lines that are there."""

import json
import queue
import threading
from collections.abc import Iterator
from itertools import count
from typing import Any, BinaryIO

from metadialog.errors import DataError
from metadialog.generation.base import Generation
from metadialog.inference.dialogues import as_turns
from metadialog.inference.model import AdaptableModel
from metadialog.inference.results import Reply

LAYOUT = '{"context": ["...", "..."]}'
_AHEAD = 64  # lines that are read in advance
_MOST_BYTES = 2**20  # of a line


class Answers:
    """Answers lines in batches; an invalid line gives an error object.

    Args:
        model: replies to the contexts.
        n: number of replies to each context.
        generation: how they are generated; None for the model's own way.
        seed: seed of sampling.
        scores: whether to also give mean log-probabilities.
    """

    def __init__(
        self, model: AdaptableModel, n: int, generation: Generation | None, seed: int, *, scores: bool
    ) -> None:
        self._model = model
        self._n = n
        self._generation = generation
        self._seed = seed
        self._scores = scores

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
        request = json.loads(line.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise DataError(f"byte {error.start + 1} of the line is not UTF-8; save it as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"not valid JSON ({error}); it should be {LAYOUT}") from error
    if not isinstance(request, dict) or "context" not in request:
        raise DataError(f'the line has no "context"; it should be {LAYOUT}')
    return request


def _refuse_constant(name: str) -> None:
    """Refuse NaN, Infinity and -Infinity, which Python reads but JSON does not have.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"{name} is not a value of JSON")


def line_batches(source: BinaryIO, size: int) -> Iterator[list[tuple[int, bytes]]]:
    """Yield batches of non-blank lines with their numbers, of up to `size` available lines.

    Raises:
        DataError: the source cannot be read.
    """
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
