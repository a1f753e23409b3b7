import json
import math
import time
from pathlib import Path

import pytest

from metadialog.errors import RunError
from metadialog.runs.scalars_file import ScalarsFile


def read(path: Path) -> list[dict[str, object]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line, parse_constant=pytest.fail) for line in lines]


def test_each_value_is_one_line_that_is_there_at_once(tmp_path: Path) -> None:
    path = tmp_path / "run" / "metrics.jsonl"
    start = time.time()
    with ScalarsFile(path) as scalars:
        scalars.log(3, "meta_train", {"loss": 0.1 + 0.2, "tasks": 4})
        lines = read(path)
    assert [list(line) for line in lines] == [["step", "split", "name", "value", "time"]] * 2
    assert [(line["step"], line["split"], line["name"], line["value"]) for line in lines] == [
        (3, "meta_train", "loss", 0.1 + 0.2),
        (3, "meta_train", "tasks", 4.0),
    ]
    assert all(start <= float(str(line["time"])) <= time.time() for line in lines)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_cannot_say_is_null(tmp_path: Path, value: float) -> None:
    path = tmp_path / "metrics.jsonl"
    with ScalarsFile(path) as scalars:
        scalars.log(0, "meta_validation", {"loss": value})
    assert [line["value"] for line in read(path)] == [None]


def test_a_resumed_run_drops_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with ScalarsFile(path) as scalars:
        scalars.log(1, "meta_train", {"loss": 1.0})
        position = scalars.position()
        assert position == path.stat().st_size
        scalars.log(2, "meta_train", {"loss": 2.0})
    with path.open("a") as file:
        file.write('{"step": 3, "sp')  # cut off by a crash
    with ScalarsFile(path) as scalars:
        scalars.truncate(position)
        scalars.log(2, "meta_train", {"loss": 2.5})
        assert scalars.position() == path.stat().st_size
    assert [(line["step"], line["value"]) for line in read(path)] == [(1, 1.0), (2, 2.5)]


def test_a_file_shorter_than_the_checkpoint_says_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with ScalarsFile(path) as scalars:
        scalars.log(1, "meta_train", {"loss": 1.0})
        length = scalars.position()
        with pytest.raises(RunError, match=rf"metrics\.jsonl: {length} bytes .* at {length + 1} bytes") as caught:
            scalars.truncate(length + 1)
    assert "\n" not in str(caught.value)
    assert len(read(path)) == 1


def test_closing_twice_does_no_harm(tmp_path: Path) -> None:
    scalars = ScalarsFile(tmp_path / "metrics.jsonl")
    scalars.close()
    scalars.close()
