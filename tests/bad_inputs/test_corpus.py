"""Every command with a bad input in the corpus prints one line, exits with code 2, and leaves no files.

A line of `corpus/*.txt` has three parts separated by ` | `: the arguments of `metadialog`; how the input is created (a
fixture of version 0.1.0, and then `FILE DAMAGE ARGUMENT`, or nothing); and a text that the message must contain.
A sample runs with the other tests, the whole corpus with `make test-hard`.
"""

import shlex
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

Run = Callable[..., Any]
Damages = dict[str, Callable[[Path, str], None]]

FIXTURES = Path(__file__).parents[1] / "fixtures" / "version_0_1_0"
CORPUS = Path(__file__).parent / "corpus"
SECONDS = 60  # a refusal takes two
SAMPLE_EVERY = 16
MOST_LINES = 3


@dataclass(frozen=True)
class Line:
    """A line of the corpus."""

    arguments: str
    damage: str
    message: str

    def __str__(self) -> str:
        """Return the id of the case in pytest's output."""
        return f"{self.arguments} [{self.damage}]"


def read_corpus() -> list[Line]:
    """Return all lines except comments."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(CORPUS.glob("*.txt"))]
    lines = [line for text in texts for line in text.splitlines() if line and not line.startswith("#")]
    return [Line(*(part.strip() for part in line.split(" | "))) for line in lines]


LINES = read_corpus()


def test_the_corpus_is_large_and_has_nothing_twice() -> None:
    assert len(LINES) >= 400
    assert len({(line.arguments, line.damage) for line in LINES}) == len(LINES)


def _parameters() -> Iterator[Any]:
    for number, line in enumerate(LINES):
        marks = () if number % SAMPLE_EVERY == 0 else (pytest.mark.hard,)
        yield pytest.param(line, id=f"{number}: {line}", marks=marks)


@pytest.mark.parametrize("line", list(_parameters()))
def test_a_bad_input_costs_one_line(run: Run, tmp_path: Path, damages: Damages, line: Line) -> None:
    work = tmp_path / "work"
    _make(line.damage, work, damages)
    before = _everything(work)
    with _in_time():
        outcome = run(*shlex.split(line.arguments))
    assert outcome.code == 2, outcome.out + outcome.err
    assert "Traceback" not in outcome.err
    assert 1 <= len(outcome.err.splitlines()) <= MOST_LINES, outcome.err
    assert line.message in outcome.err
    assert not any(ord(sign) < 32 for sign in outcome.err.replace("\n", "")), "control characters reach the terminal"
    assert _everything(work) == before, "something is left behind"


def _make(damage: str, work: Path, damages: Damages) -> None:
    if not damage:
        return
    fixture, _, rest = damage.partition(" ")
    name = fixture.partition("/")[0]
    shutil.copytree(FIXTURES / name, work / name, symlinks=True)
    for one in filter(None, rest.split(" ; ")):
        file, how, *argument = one.split(" ", 2)
        path = work / fixture / file
        path.parent.mkdir(parents=True, exist_ok=True)
        damages[how](path, *(argument or [""]))


def _everything(folder: Path) -> dict[str, int | None]:
    """Return the length of each file in a folder by path, except locks, which are not removed."""
    paths = [path for path in folder.rglob("*") if path.name != ".lock"]
    return {str(path): path.lstat().st_size if path.is_file() else None for path in paths}


@contextmanager
def _in_time() -> Iterator[None]:
    """Stop a command that hangs."""

    def stop(_: int, __: FrameType | None) -> None:
        raise TimeoutError(f"not answered in {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
