"""Safe reading of files of unknown origin: only regular files of limited size, and without executing code.

A FIFO or a device instead of a file would block or never end; a huge or deeply nested file would exhaust memory or the
interpreter's stack. Each of these is refused with a message that names the file.
"""

import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from metadialog.errors import RunError
from metadialog.escapes import escaped, shortened

MIB = 2**20
MAX_DEPTH = 100
"""Maximum nesting of objects and lists; files of a run have fewer than ten levels."""

Model = TypeVar("Model", bound=BaseModel)

_KINDS = {
    stat.S_ISDIR: "a directory",
    stat.S_ISFIFO: "a FIFO",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}
_TOO_DEEP = f"it is nested too deeply; it should have at most {MAX_DEPTH} levels"
_LONG_INTEGER = re.compile(r"\d{1000}")


def is_there(path: Path) -> bool:
    """Tell whether a path exists, including dangling symbolic links, which are damage."""
    return os.path.lexists(path)


@contextmanager
def open_regular(path: Path, limit: int, what: str = "file") -> Iterator[IO[bytes]]:
    """Open a regular file for reading.

    Args:
        path: path of the file, or a symbolic link to it.
        limit: maximum size in bytes.
        what: expected content, for messages, such as "status of a run".

    Raises:
        RunError: it is missing, cannot be read, is not a regular file, or is too large.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        number = os.open(path, flags)  # O_NONBLOCK, as opening a FIFO would otherwise wait for a writer
    except FileNotFoundError as error:
        raise unreadable(path, what, "there is no such file") from error
    except (OSError, ValueError) as error:
        raise unreadable(path, what, getattr(error, "strerror", None) or str(error)) from error
    try:
        about = os.fstat(number)
        if not stat.S_ISREG(about.st_mode):
            kind = next((name for test, name in _KINDS.items() if test(about.st_mode)), "no file")
            raise unreadable(path, what, f"it is {kind}; it should be a regular file")
        if about.st_size > limit:
            raise unreadable(path, what, f"it has {_size(about.st_size)}; it should have at most {_size(limit)}")
        file = os.fdopen(number, "rb")
    except BaseException:
        os.close(number)
        raise
    with file:
        yield file


def check_regular(path: Path, limit: int, what: str = "file") -> None:
    """Check that `open_regular` accepts a file, for libraries that read it by path.

    Raises:
        RunError: see `open_regular`.
    """
    with open_regular(path, limit, what):
        pass


def read_bytes(path: Path, limit: int, what: str = "file") -> bytes:
    """Read a regular file; see `open_regular`.

    Raises:
        RunError: see `open_regular`.
    """
    try:
        with open_regular(path, limit, what) as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise unreadable(path, what, error.strerror or str(error)) from error
    if len(content) > limit:
        raise unreadable(path, what, f"it has grown beyond {_size(limit)} while it was read")
    return content


def read_text(path: Path, limit: int, what: str = "file") -> str:
    """Read a regular file of UTF-8 text.

    Raises:
        RunError: see `open_regular`; also if it is not UTF-8.
    """
    content = read_bytes(path, limit, what)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        looks = "UTF-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "another encoding, or binary"
        raise unreadable(path, what, f"byte {error.start} is no UTF-8 text; it may be {looks}") from error
    if not text.strip():
        raise unreadable(path, what, "it is empty")
    return text


def parse_json(text: str, where: object, what: str) -> Any:  # noqa: ANN401 - as JSON has it
    """Parse strict JSON, without duplicate keys and with limited nesting.

    Args:
        text: the JSON.
        where: position for messages: the file, and the line if it has several values.
        what: expected content, for messages.

    Raises:
        RunError: it is not valid.
    """
    try:
        result = json.loads(text, object_pairs_hook=_without_duplicates)
    except RecursionError as error:
        raise unreadable(where, what, _TOO_DEEP) from error
    except ValueError as error:
        if _LONG_INTEGER.search(text):
            raise unreadable(where, what, "it holds an integer of more than 1,000 digits") from error
        raise unreadable(where, what, f"it is no JSON, so it is damaged or incomplete: {error}") from error
    if not _is_shallow(result):
        raise unreadable(where, what, _TOO_DEEP)
    return result


def read_json(path: Path, model: type[Model], limit: int, what: str) -> Model:
    """Read and validate a JSON file.

    Args:
        path: path of the file.
        model: the schema.
        limit: maximum size in bytes.
        what: expected content, for messages, such as "status of a run".

    Raises:
        RunError: it is invalid; the message names the file, the field, its value and what it should be.
    """
    return validated(parse_json(read_text(path, limit, what), path, what), model, path, what)


def read_json_lines(path: Path, model: type[Model], limit: int, what: str, *, torn_end: bool = False) -> list[Model]:
    """Read a file with one JSON object per line.

    Args:
        path: path of the file, which may be empty.
        model: schema of the objects.
        limit: maximum size in bytes.
        what: expected content of a line, for messages.
        torn_end: whether the last line may be incomplete, for writers that may be killed.

    Raises:
        RunError: it is invalid; the message names the file, the line and the field.
    """
    if not (content := read_bytes(path, limit, what)):
        return []
    lines = content.split(b"\n")
    if torn_end and lines[-1]:
        lines.pop()
    results = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            where = f"{path}: line {number}"
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise unreadable(where, what, "it should be UTF-8 text") from error
            results.append(validated(parse_json(text, where, what), model, where, what))
    return results


def validated(content: object, model: type[Model], where: object, what: str) -> Model:
    """Validate parsed content with a schema.

    Raises:
        RunError: it is invalid; the message names the first wrong field.
    """
    if not isinstance(content, dict):
        needed = [name for name, field in model.model_fields.items() if field.is_required()]
        raise RunError(f"{where}: no {what}: it should be an object{f' with the key {needed[0]}' if needed else ''}")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise RunError(f"{where}: no {what}: {describe(error)}") from error


def adapted(content: object, adapter: TypeAdapter[Any], where: object, what: str) -> Any:  # noqa: ANN401 - as adapted
    """Validate parsed content with any pydantic type.

    Raises:
        RunError: it is invalid; the message names the first wrong field.
    """
    try:
        return adapter.validate_python(content)
    except ValidationError as error:
        raise RunError(f"{where}: no {what}: {describe(error)}") from error


def describe(error: ValidationError) -> str:
    """Describe the wrong field, its value and what it should be."""
    problem = error.errors(include_url=False)[0]
    field = ".".join(map(str, problem["loc"]))
    if problem["type"] == "missing":
        return f"it should be an object with the key {escaped(shortened(field, 80))}"
    message = re.sub(r"^(Input|Value error,|Value) ", "", problem["msg"])
    value = escaped(shortened(repr(problem["input"]), 60))
    return f"{escaped(shortened(field, 80))} is {value}; it {message}" if field else message


def unreadable(where: object, what: str, reason: str) -> RunError:
    """Return the error for a file that cannot be read."""
    return RunError(f"{where}: no readable {what}: {escaped(shortened(reason))}")


def _is_shallow(value: object) -> bool:
    """Tell whether a value has at most `MAX_DEPTH` levels, without recursion."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for one in level for inner in _inside(one)]
        if not level:
            return True
    return False


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    results = dict(pairs)
    if len(results) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {escaped(shortened(twice, 60))!r} is there twice")
    return results


def _size(number: int) -> str:
    if number < MIB:
        return f"{number:,} bytes"
    return f"{number / MIB:,.0f} MiB"
