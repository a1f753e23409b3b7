"""Random damage to files, shared by the tests of all readers."""

import copy
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from metadialog.errors import MetadialogError

Read = Callable[[Path], object]
Inputs = st.SearchStrategy[bytes]

SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
"""Seconds for all targets together; `make fuzz` sets an hour. Without it the same few inputs are tried every time."""
EXAMPLES = 10
"""Inputs of each target between checks of the time."""
SLOWEST = 20.0
"""Maximum time of an input in seconds, on a machine that may be busy."""

NASTY: tuple[Any, ...] = (
    *(
        None,
        True,
        "",
        " ",
        "\x00",
        "\x1b[2J",
        "\u202e",
        "é" * 400,
        "../..",
        "/dev/zero",
        "${oc.env:HOME}",
        "a: &a [*a]",
    ),
    *(0, -1, 1e308, -1e308, 2**63, 10**40, float("nan"), float("inf"), [], {}, [[]], {"": {}}, [None] * 3, [1, "a"]),
    *("os.system", "metadialog.cli.main", "!!python/object:os.system", "=cmd|' /C calc'!A0", "<script>", "{{7*7}}"),
)
TOKENS = (
    *(
        b"\x00",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b"'",
        b":",
        b"\n",
        b"\r\n",
        b"\t",
        b",",
        b"- ",
    ),
    *(b"&a ", b"*a", b"!!python/name:os.system ", b"${", b"9" * 40, b"-", b"1e999", b"NaN", b"\\ud800", b"\x1f\x8b"),
)


def _damaged(valid: bytes) -> Inputs:
    """Return damaged content: some bytes are changed, removed, inserted, repeated, or cut off."""
    place = st.integers(0, max(len(valid) - 1, 0))
    edit = st.tuples(st.sampled_from(("set", "insert", "delete", "repeat", "cut")), place, st.integers(1, 40), _bytes())
    return st.lists(edit, min_size=1, max_size=4).map(lambda edits: _edited(valid, edits))


def _bytes() -> Inputs:
    return st.sampled_from(TOKENS) | st.binary(min_size=1, max_size=4)


def _edited(content: bytes, edits: list[tuple[str, int, int, bytes]]) -> bytes:
    for how, place, length, new in edits:
        if how == "cut":
            content = content[:place]
        elif how == "repeat":
            content = content[:place] + content[place : place + length] * 3 + content[place + length :]
        else:
            end = place + {"set": len(new), "insert": 0, "delete": length}[how]
            content = content[:place] + (b"" if how == "delete" else new) + content[end:]
    return content


def _changed_inputs(value: object, dump: Callable[[Any], str]) -> Inputs:
    """Return well-formed content with some wrong values."""
    paths = list(_paths(value))
    change = st.tuples(st.sampled_from(paths), st.sampled_from(("replace", "remove", "rename")), st.sampled_from(NASTY))
    return st.lists(change, min_size=1, max_size=3).map(lambda changes: dump(_changed(value, changes)).encode())


def _paths(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield from _paths(inner, (*path, key))


def _changed(value: object, changes: list[tuple[tuple[Any, ...], str, Any]]) -> object:
    result: Any = json.loads(json.dumps(value))
    for path, how, nasty in changes:
        new = copy.deepcopy(nasty)  # a later change may insert something into it
        if not path:
            return new
        node = result
        try:
            for key in path[:-1]:
                node = node[key]
            if how == "replace" or isinstance(node, list):
                node[path[-1]] = new
            else:
                taken = node.pop(path[-1])
                node.update({str(new)[:40]: taken} if how == "rename" else {})
        except (KeyError, IndexError, TypeError, AttributeError):
            continue  # an earlier change has removed it
    return result


def _lines_of(text: str) -> list[object]:
    """Return the objects of a file of JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


def _as_lines(value: object) -> str:
    """Write objects as JSON lines."""
    return "\n".join(json.dumps(one) for one in value) if isinstance(value, list) else json.dumps(value)


def _check(read: Read, path: Path, content: bytes) -> None:
    """Read an input, which must succeed or be refused in one line without control characters."""
    path.write_bytes(content)
    began = time.monotonic()
    try:
        read(path)
    except MetadialogError as error:
        message = str(error)
        assert message
        assert "\n" not in message, message
        assert len(message) < 3000, message
    assert time.monotonic() - began < SLOWEST


@pytest.fixture
def fuzz(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Return a function that tries inputs until the time of the target is over."""
    targets = sum("fuzz" in item.fixturenames for item in request.session.items if isinstance(item, pytest.Function))

    def run(read: Read, path: Path, inputs: Inputs) -> None:
        until = time.monotonic() + SECONDS / targets
        cases = 0
        quiet = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        while True:

            @seed(time.time_ns() if SECONDS else 0)  # pytest shows it if the test fails
            @quiet
            @given(inputs)
            def once(content: bytes) -> None:
                nonlocal cases
                cases += 1
                _check(read, path, content)

            once()
            if time.monotonic() > until:
                break
        with capsys.disabled():
            print(f"\n{request.node.name}: {cases} cases", end=" ")  # noqa: T201

    return run


@pytest.fixture
def damaged() -> Callable[[bytes], Inputs]:
    """Return a function that makes damaged inputs of a valid one."""
    return _damaged


@pytest.fixture
def changed() -> Callable[[Any, Callable[[Any], str]], Inputs]:
    """Return a function that makes well-formed inputs with wrong values of a valid one."""
    return _changed_inputs


@pytest.fixture
def lines_of() -> Callable[[str], Any]:
    """Return a function that reads JSON lines."""
    return _lines_of


@pytest.fixture
def as_lines() -> Callable[[Any], str]:
    """Return a function that writes JSON lines."""
    return _as_lines
