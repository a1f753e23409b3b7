"""A reader of wandb's own files, and an environment without the developer's own key."""

import importlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

BLOCK = 32 * 1024
HEADER = 7
FULL, LAST = 1, 4


@dataclass
class WandbRecords:
    """What a `.wandb` file says of its run."""

    run: Any = None  # wandb_internal_pb2.RunRecord
    history: list[dict[str, Any]] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: list[Any] = field(default_factory=list)  # wandb_internal_pb2.ArtifactRecord
    metrics: list[Any] = field(default_factory=list)  # wandb_internal_pb2.MetricRecord
    exit_code: int | None = None


def payloads(data: bytes) -> Iterator[bytes]:
    """Yield the records of a LevelDB log whose first block begins with wandb's own header of 7 bytes."""
    offset, parts = HEADER, b""
    while offset + HEADER <= len(data):
        if BLOCK - offset % BLOCK < HEADER:  # the rest of the block is padding
            offset += BLOCK - offset % BLOCK
            continue
        length = int.from_bytes(data[offset + 4 : offset + 6], "little")
        kind = data[offset + 6]
        assert 1 <= kind <= 4, f"no record at byte {offset}"
        offset += HEADER
        parts += data[offset : offset + length]
        offset += length
        if kind in {FULL, LAST}:
            yield parts
            parts = b""
    assert not parts, "the last record is cut off"


def assign(target: dict[str, Any], items: Iterable[Any]) -> None:
    for item in items:
        *path, last = list(item.nested_key) or [item.key]
        place = target
        for key in path:
            place = place.setdefault(key, {})
        place[last] = json.loads(item.value_json)


def read_records(path: Path) -> WandbRecords:
    data = path.read_bytes()
    assert data[:4] == b":W&B", f"{path} is no wandb file"
    result = WandbRecords()
    # wandb chooses among several generated modules by the version of protobuf, so types are not to be had.
    record_type: Any = importlib.import_module("wandb.proto.wandb_internal_pb2").Record
    for payload in payloads(data):
        record = record_type.FromString(payload)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            result.run = record.run
            assign(result.config, record.run.config.update)
        elif kind == "config":
            assign(result.config, record.config.update)
        elif kind == "summary":
            assign(result.summary, record.summary.update)
        elif kind == "history":
            row: dict[str, Any] = {}
            assign(row, record.history.item)
            result.history.append(row)
        elif kind == "artifact":
            result.artifacts.append(record.artifact)
        elif kind == "metric":
            result.metrics.append(record.metric)
        elif kind == "exit":
            result.exit_code = record.exit.exit_code
    return result


@pytest.fixture
def read_wandb() -> Callable[[Path], WandbRecords]:
    """A function that reads a `.wandb` file, or the only one of a run directory."""

    def read(path: Path) -> WandbRecords:
        if path.is_dir():
            [path] = path.glob("wandb/*run-*/*.wandb")
        return read_records(path)

    return read


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No key, no settings and no network of the developer's; and nothing may be written where one stands."""
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    with mock.patch.dict(os.environ):
        for name in [name for name in os.environ if name.startswith("WANDB_") or name.lower().endswith("_proxy")]:
            del os.environ[name]
        os.environ["HOME"] = os.environ["USERPROFILE"] = str(home)
        os.environ["NETRC"] = str(home / ".netrc")
        os.environ["WANDB_BASE_URL"] = "http://127.0.0.1:9"  # nothing answers there
        yield
    assert not list(here.iterdir())
