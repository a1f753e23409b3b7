"""The list of a sweep's runs."""

from metadialog.sweeps.directory import Record
from metadialog.sweeps.listing import rows

RECORDS = [
    Record(0, "finished", 2.5, "0", ["seed=0", "a=1"], None, 65.0),
    Record(1, "failed", None, "1", ["seed=0", "a=2"], "DataError: no", 1.0),
    Record(2, "running", 2.0, "2", ["seed=0", "a=3"]),
]


def test_a_line_for_each_run() -> None:
    assert rows(RECORDS) == [
        ("0", "finished", "2.5000", "1:05", "a=1", ""),
        ("1", "failed", "", "0:01", "a=2", "DataError: no"),
        ("2", "running, or killed", "2.0000", "", "a=3", ""),
    ]


def test_orders() -> None:
    assert [row[0] for row in rows(RECORDS, "loss")] == ["2", "0", "1"]
    assert [row[0] for row in rows(RECORDS, "duration")] == ["2", "1", "0"]
    assert [row[0] for row in rows(RECORDS, "duration", reverse=True)] == ["0", "1", "2"]
    assert [row[0] for row in rows(RECORDS, "state")] == ["1", "0", "2"]
