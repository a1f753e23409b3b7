import io
import re

from rich.console import Console

from metadialog.progress import progress


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
