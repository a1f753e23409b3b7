import io
import re

import pytest
from rich.console import Console

from metadialog.progress import progress, remaining


def lines_of(total: int, done: int = 0, notable: tuple[int, ...] = ()) -> list[str]:
    out = io.StringIO()
    with progress(Console(file=out, width=100), "training", total, done) as report:
        for step in range(done + 1, total + 1):
            report(step, f"meta-loss {step / 10:.3f}", notable=step in notable)
    return out.getvalue().splitlines()


def test_a_pipe_gets_a_line_now_and_then() -> None:
    lines = lines_of(200)
    assert len(lines) == 10
    assert all(re.fullmatch(r"training \d+/200  meta-loss [\d.]+  left \d+:\d\d", line) for line in lines)
    assert lines[-1].startswith("training 200/200  meta-loss 20.000  left 0:00")


def test_what_is_notable_gets_a_line_of_its_own() -> None:
    assert [line.split()[1] for line in lines_of(200, notable=(7, 33))][:3] == ["7/200", "20/200", "33/200"]


def test_the_last_unit_is_always_told() -> None:
    assert lines_of(7)[-1].startswith("training 7/7")
    assert lines_of(23, done=20)[-1].startswith("training 23/23")


def test_a_terminal_gets_a_bar() -> None:
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=True)
    with progress(console, "training", 4) as report:
        for step in range(1, 5):
            report(step, f"meta-loss {step}.000  validation 3.000 -> 2.000")
    last = [line for line in out.getvalue().splitlines() if "4/4" in line][-1]
    assert "meta-loss 4.000  validation 3.000 -> 2.000" in last
    assert "left" in last


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_bar_is_one_line_with_whole_times(width: int) -> None:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None)
    with progress(console, "training", 2000) as report:
        for step in (1, 1000, 2000):
            report(step, "meta-loss 5.736  validation 5.739 -> 5.699")
    shown = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", out.getvalue())
    lines = [line for line in re.split(r"[\r\n]+", shown) if line.strip()]
    assert all("training" in line and "0:00:00 left" in line and len(line) <= width for line in lines), lines
    assert "2000/2000" in lines[-1]


def test_what_is_left_is_never_shorter_than_it_is() -> None:
    assert [remaining(seconds) for seconds in (0, 0.2, 59.5, 61, 3599, 3723)] == [
        "0:00", "0:01", "1:00", "1:01", "59:59", "1:02:03",
    ]  # fmt: skip
