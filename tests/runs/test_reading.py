"""Untrusted files are read as data, or refused in one line that names them."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metadialog.errors import RunError
from metadialog.runs import schemas
from metadialog.runs.reading import parse_json, read_bytes, read_json_lines, read_text
from metadialog.runs.yaml_file import read_mapping, read_yaml

SMALL = 1000


def refused(path: Path) -> str:
    with pytest.raises(RunError) as caught:
        read_text(path, SMALL, "status of a run")
    message = str(caught.value)
    assert message.startswith(f"{path}: no readable status of a run: ")
    assert "\n" not in message
    return message


def test_regular_files_of_a_sensible_size_alone_are_read(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    assert "there is no such file" in refused(path)
    os.mkfifo(path)
    assert "it is a FIFO; it should be a regular file" in refused(path)
    path.unlink()
    path.mkdir()
    assert "it is a directory" in refused(path)
    path.rmdir()
    for target, reason in (("/dev/zero", "it is a device"), (path.name, "Too many levels of symbolic links")):
        path.symlink_to(target)
        assert reason in refused(path)
        path.unlink()
    path.write_bytes(b"x" * (SMALL + 1))
    assert "it has 1,001 bytes; it should have at most 1,000 bytes" in refused(path)
    path.write_bytes(b" ")
    assert "it is empty" in refused(path)
    path.write_bytes("text".encode("utf-16"))
    assert "it may be UTF-16" in refused(path)
    path.write_text("whole")
    link = tmp_path / "link"
    link.symlink_to(path)
    assert read_bytes(link, SMALL) == b"whole"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
@settings(max_examples=50)
def test_json_comes_back_as_it_was(value: object) -> None:
    assert parse_json(json.dumps(value), "a.json", "value") == value


READERS: list[Callable[[Path], object]] = [
    schemas.read_status,
    schemas.read_costs,
    schemas.read_trials,
    schemas.read_sweep,
    schemas.read_scalars,
    lambda path: read_yaml(path, "config"),
]


def said_of(read: Callable[[Path], object], path: Path) -> str:
    """Return the error message; empty if the file was read."""
    try:
        read(path)
    except RunError as error:
        return str(error)
    return ""


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_whatever_the_bytes_the_answer_is_one_line(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(content)
    for read in READERS:
        message = said_of(read, path)
        assert not message or str(path) in message
        assert message.isprintable()


def test_a_line_that_was_broken_off_is_passed_over_where_a_process_may_be_killed(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    whole = '{"step": 1, "split": "meta_train", "name": "loss", "value": 1.5, "time": 2.0}\n'
    path.write_text(whole + whole[:20])
    assert [metric.value for metric in schemas.read_scalars(path)] == [1.5]
    with pytest.raises(RunError, match=r"metrics\.jsonl: line 2: no readable metric"):
        read_json_lines(path, schemas.ScalarLine, SMALL, "metric")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: ${oc.env:HOME}", "a: ${oc.env:HOME} is not filled in"),
        ("a: x${b}\nb: 1", "is not filled in"),
        ("a: ${b}\nb: {c: 1}", "is not filled in"),
        ("a: ${b}\nb: ${a}", "is not filled in"),
        ("hydra: {job: 1}", "'hydra' is no name of an option"),
        ("a.b: 1", "'a.b' is no name of an option"),
        ("+a: 1", "'+a' is no name of an option"),
        ("1: 1", "'1' is no name of an option"),
        ("a: &x 1\nb: *x", "an anchor or an alias"),
        ("a: !!python/name:os.system ''", "holds the tag"),
        ("- a", "it should hold keys and values"),
        ("a: 1\na: 2", "no readable config of a run"),
    ],
)
def test_a_config_is_read_as_it_is(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(RunError) as caught:
        read_mapping(path, "config of a run")
    assert message in str(caught.value)


def test_a_reference_to_another_key_is_filled_in(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: {shots: 3}\nb: [x, '${a.shots}']\nlr: 1e-05")
    assert read_mapping(path, "config of a run") == {"a": {"shots": 3}, "b": ["x", 3], "lr": 1e-05}
