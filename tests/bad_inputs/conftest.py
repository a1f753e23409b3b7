"""Creates the bad inputs of the corpus: copies of a fixture with one damaged file."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Damage = Callable[[Path, str], None]

DEPTH = 10_000
DIGITS = 5_000


def _truncate(path: Path, _: str) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _fifo(path: Path, _: str) -> None:
    path.unlink()
    os.mkfifo(path)


def _socket(path: Path, _: str) -> None:
    path.unlink()
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket has at most 107 characters
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(here)


def _link(target: str) -> Damage:
    def replace(path: Path, _: str) -> None:
        path.unlink()
        path.symlink_to(target.replace("SELF", path.name))

    return replace


def _directory(path: Path, _: str) -> None:
    path.unlink()
    path.mkdir()


def _huge(path: Path, _: str) -> None:
    with path.open("ab") as file:
        file.truncate(1 << 42)  # sparse: takes no space on the disk


def _encoded(encoding: str) -> Damage:
    def write(path: Path, _: str) -> None:
        path.write_bytes(("é" + path.read_text(encoding="utf-8")).encode(encoding))

    return write


def _written(content: bytes) -> Damage:
    return lambda path, _: _write(path, content)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _text(path: Path, text: str) -> None:
    path.write_text(text.replace("\\n", "\n"), encoding="utf-8")


def _line(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text + "\n")


def _flip(path: Path, _: str) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _set(path: Path, change: str) -> None:
    """Set one field: `a.b=JSON`."""
    place, _, value = change.partition("=")
    content = _load(path)
    *parents, last = place.split(".")
    node: Any = content
    for name in parents:
        node = node[int(name) if isinstance(node, list) else name]
    node[int(last) if isinstance(node, list) else last] = json.loads(value)
    _dump(path, content)


def _delete(path: Path, place: str) -> None:
    content = _load(path)
    *parents, last = place.split(".")
    node: Any = content
    for name in parents:
        node = node[name]
    del node[last]
    _dump(path, content)


def _load(path: Path) -> Any:  # noqa: ANN401 - any JSON value
    text = path.read_text(encoding="utf-8")
    return yaml.safe_load(text) if path.suffix == ".yaml" else json.loads(text)


def _dump(path: Path, content: object) -> None:
    path.write_text(yaml.safe_dump(content) if path.suffix == ".yaml" else json.dumps(content), encoding="utf-8")


_BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)

DAMAGES: dict[str, Damage] = {
    "empty": _written(b""),
    "blank": _written(b" \n\n"),
    "half": _truncate,
    "missing": lambda path, _: path.unlink(),
    "fifo": _fifo,
    "socket": _socket,
    "zero": _link("/dev/zero"),
    "null": _link("/dev/null"),
    "loop": _link("SELF"),
    "dangling": _link("nowhere"),
    "directory": _directory,
    "huge": _huge,
    "utf16": _encoded("utf-16"),
    "latin1": _encoded("latin-1"),
    "binary": _written(bytes(range(128, 256)) * 4),
    "bomb": _written(_BOMB.encode()),
    "deep": _written(b"[" * DEPTH + b"]" * DEPTH),
    "deeplist": _written(b'{"a": ' + b"[" * DEPTH + b"]" * DEPTH + b"}"),
    "digits": _written(b'{"a": ' + b"9" * DIGITS + b"}"),
    "duplicate": _written(b'{"a": 1, "a": 2}'),
    "list": _written(b"[1, 2]"),
    "number": _written(b"3"),
    "string": _written(b'"text"'),
    "tag": _written(b"a: !!python/object/apply:os.system [touch marker]\n"),
    "flip": _flip,
    "text": _text,
    "line": _line,
    "set": _set,
    "delete": _delete,
}


@pytest.fixture
def damages() -> dict[str, Damage]:
    """The functions that damage a file, by name."""
    return DAMAGES
