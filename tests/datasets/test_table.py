import csv
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.datasets.dialogue import Dataset, Dialogue, Turn
from metadialog.datasets.table import COLUMNS, TableDataset
from metadialog.errors import ConfigError, DataError

HEADER = ",".join(COLUMNS) + "\n"


def read(path: Path) -> list[Dialogue]:
    return list(TableDataset(path=str(path), language="en").dialogues())


def write(folder: Path, text: str, name: str = "my.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "CSV"])
def test_real_dialogues_come_back(tmp_path: Path, ending: str) -> None:
    dialogues = list(islice(ChatterbotDataset(language="chinese").dialogues(), 60))
    rows = [(d.id, d.topic, turn.speaker, turn.text) for d in dialogues for turn in d.turns]
    path = tmp_path / f"my.{ending}"
    if ending == "parquet":
        pd.DataFrame(rows, columns=list(COLUMNS)).assign(more=1).to_parquet(path)
    else:
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            csv.writer(file, delimiter="," if ending.lower() == "csv" else "\t").writerows([COLUMNS, *rows])
    assert read(path) == dialogues
    assert TableDataset(path=str(path), language="zh").name == "my"


def test_columns_in_any_order_and_numbers_for_names(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"text": ["Hi", "Ho", "Yes"], "dialogue_id": [1, 1, 2], "speaker": [0, 1, 0], "topic": [7, 7, 7]}
    )
    frame.to_parquet(tmp_path / "my.parquet")
    frame.to_csv(tmp_path / "my.csv", index=False)
    expected = [
        Dialogue("7", (Turn("0", "Hi"), Turn("1", "Ho")), "1"),
        Dialogue("7", (Turn("0", "Yes"),), "2"),
    ]
    assert read(tmp_path / "my.parquet") == read(tmp_path / "my.csv") == expected


def test_texts_may_hold_lines_and_quotes(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + '1,a,x,"one\ntwo, ""three"""\n\n1,a,y,\n')
    assert read(path) == [Dialogue("a", (Turn("x", 'one\ntwo, "three"'), Turn("y", "")), "1")]


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("", 1, "is empty; it should begin with the columns dialogue_id, topic, speaker, text"),
        ("dialogue_id,topic,speaker\n", 1, "has no column 'text'"),
        ("dialogue_id,topic,speaker,text,text\n", 1, "has more than one column 'text'"),
        (HEADER, 1, "holds no dialogue"),
        (HEADER + "1,a,x\n", 2, "has 3 values; it should have 4"),
        (HEADER + "1,,x,Hi\n", 2, "topic is ''; it should be a text that is not empty"),
        (HEADER + "1,a,x,Hi\n1,b,x,Hi\n", 3, "dialogue '1' has the topic 'b', but 'a' before"),
        (HEADER + "1,a,x,Hi\n2,a,x,Hi\n1,a,x,Hi\n", 4, "dialogue '1' began at 2 and had ended"),
        (HEADER + '1,a,x,"Hi\n', 2, "not valid CSV: unexpected end of data"),
        (HEADER + '1,a,x,"Hi" there\n', 2, "not valid CSV: "),
    ],
)
def test_a_malformed_file_is_named_with_the_line(tmp_path: Path, text: str, line: int, problem: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}:{line}: {problem}")
    assert "\n" not in str(caught.value)


def test_a_malformed_parquet_file_is_named_with_the_row(tmp_path: Path) -> None:
    path = tmp_path / "my.parquet"
    columns = {"dialogue_id": ["1", "1"], "topic": ["a", "a"], "speaker": ["x", None], "text": ["Hi", "Ho"]}
    pq.write_table(pa.table(columns), path)
    with pytest.raises(DataError, match=r"my\.parquet:2: speaker is None; it should be a text"):
        read(path)
    whole = path.read_bytes()
    path.write_bytes(b"more" + whole)  # the library's message about misplaced pages has several lines
    with pytest.raises(DataError, match=r"my\.parquet: cannot be read: .*; dataset\.path should name") as caught:
        read(path)
    assert "\n" not in str(caught.value)
    path.write_bytes(whole[:-40])
    with pytest.raises(DataError, match=r"my\.parquet: not readable from row 1 on: .*; it should be Parquet"):
        read(path)


def test_a_file_that_is_not_there_or_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.csv: cannot be read: No such file or directory; dataset\.path"):
        read(tmp_path / "no.csv")
    with pytest.raises(DataError, match=r"my\.ods: its format is not known; dataset\.path should end in \.csv"):
        read(tmp_path / "my.ods")
    with pytest.raises(ConfigError, match=r"^dataset\.language=english: should be a language code"):
        TableDataset(path="my.csv", language="english")


@given(st.binary(max_size=60), st.sampled_from(["my.csv", "my.tsv", "my.parquet"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_cost_one_line_at_most(
    tmp_path: Path, complaint: Callable[[Dataset], str], content: bytes, name: str
) -> None:
    for start in (b"", HEADER.encode()):
        (tmp_path / name).write_bytes(start + content)
        message = complaint(TableDataset(path=str(tmp_path / name), language="en"))
        assert not message or message.startswith(str(tmp_path))
        assert "\n" not in message
