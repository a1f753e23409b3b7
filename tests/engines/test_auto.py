"""engine=auto measures the engines, caches the result, and keeps its choice."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engines.conftest import VOCABULARY

from metadialog.engines.auto import AutoEngine, Measure
from metadialog.engines.base import Engine, InnerLoop, MetaGradient
from metadialog.engines.measuring import measure
from metadialog.episodes import Episode
from metadialog.models.loss import mean_token_loss
from metadialog.models.rnn import DialogModel
from metadialog.models.seq2seq import Seq2Seq
from metadialog.operations import OperationCounter

CPU = torch.device("cpu")
INNER = InnerLoop(0.5, 2)
KIND = "2 inner steps"


def clock_of(seconds: Sequence[float]) -> Callable[[], float]:
    """A clock by which consecutive calls take the given numbers of seconds."""

    def times() -> Iterator[float]:
        now = 0.0
        for taken in seconds:
            yield now
            now += taken
            yield now

    return times().__next__


@pytest.mark.parametrize(
    ("first", "rounds", "expected"),
    [
        # the assumed engine is kept unless another is faster by a quarter in its best round
        ((1.0, 1.0), [(1.0, 0.85), (1.0, 0.85), (1.0, 0.85)], "a"),
        ((1.0, 1.0), [(1.0, 0.7), (1.1, 0.9), (2.0, 0.9)], "b"),
        ((1.0, 1.0), [(9.0, 0.7), (0.8, 9.0), (9.0, 9.0)], "a"),
        # the first call of the assumed engine may be slow; an engine that is far slower is not tried again
        ((5.0, 1.0), [(1.0, 1.0)] * 3, "a"),
        ((1.0, 3.1), [], "a"),
    ],
)
def test_the_assumed_engine_stays_unless_another_is_faster_by_a_margin(
    first: tuple[float, float], rounds: list[tuple[float, float]], expected: str
) -> None:
    calls: list[str] = []
    contenders = {name: lambda name=name: calls.append(name) for name in "ab"}
    seconds = [*first, *(taken for pair in rounds for taken in pair)]
    result = measure(contenders, "a", CPU, clock_of(seconds))
    assert result.fastest == expected
    assert calls == ["a", "b"] * (1 + len(rounds))


def test_measuring_disturbs_neither_random_numbers_nor_counts() -> None:
    numbers: dict[str, list[float]] = {"a": [], "b": []}

    def draw(name: str) -> None:
        numbers[name].append(float(torch.rand(4, 4) @ torch.rand(4, 4) @ torch.ones(4) @ torch.ones(4)))

    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with OperationCounter() as counter:
        measure({"a": lambda: draw("a"), "b": lambda: draw("b")}, "a", CPU, clock_of([1.0] * 8))
        assert counter.total == 0
    assert torch.equal(torch.rand(3), expected)
    assert len(set(numbers["a"] + numbers["b"])) == 1  # all have the same ones


def test_an_engine_that_lacks_the_memory_is_left_out() -> None:
    def fail() -> None:
        raise torch.OutOfMemoryError("too little")

    assert measure({"a": lambda: None, "b": fail}, "a", CPU, clock_of([1.0] * 8)).fastest == "a"
    with pytest.raises(torch.OutOfMemoryError):
        measure({"a": fail, "b": lambda: None}, "a", CPU, clock_of([1.0] * 8))


def model() -> Seq2Seq:
    torch.manual_seed(3)
    return Seq2Seq(VOCABULARY, cell="gru", embedding_size=2, hidden_size=3, layers=1, dropout=0.0, attention="luong")


class Timed(AutoEngine):
    """An automatic engine with a clock by which one engine takes ten times as long as the other."""

    def __init__(self, folder: Path, measured: Measure = "once", *, slow: str = "functional") -> None:
        super().__init__(memory=1024, measure=measured)
        self.now = 0.0
        self._clock = lambda: self.now
        self.settle(folder, lambda make: make())
        self._engines |= {name: self._timed(self._engines[name], slow) for name in ("functional", "learn2learn")}

    def _timed(self, engine: Engine, slow: str) -> Engine:
        compute = engine.meta_gradient

        def timed(*arguments: Any) -> MetaGradient:
            self.now += 10.0 if engine.name == slow else 1.0
            if engine.name not in COMPUTED:  # it is the same one each time
                COMPUTED[engine.name] = compute(*arguments)
            return COMPUTED[engine.name]

        engine.meta_gradient = timed  # type: ignore[assignment,method-assign]
        return engine


COMPUTED: dict[str, MetaGradient] = {}


def used(engine: AutoEngine, episodes: list[Episode]) -> str:
    torch.manual_seed(0)
    engine.meta_gradient(model(), mean_token_loss, episodes, INNER, "mean")
    return engine.chosen[KIND]


def test_what_is_faster_is_kept_and_remembered(
    episodes: list[Episode], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert used(Timed(tmp_path), episodes) == "learn2learn"
    assert "measured now: learn2learn" in caplog.text
    caplog.clear()
    assert used(Timed(tmp_path, slow="learn2learn"), episodes) == "learn2learn"  # as another run has chosen
    assert "measured before, on this machine: learn2learn" in caplog.text
    assert used(Timed(tmp_path, "never"), episodes) == "functional"
    assert used(Timed(tmp_path, "anew", slow="learn2learn"), episodes) == "functional"
    assert used(Timed(tmp_path), episodes) == "functional"


@pytest.mark.parametrize("damage", ["nothing", '{"engine": "magic", "milliseconds": {"magic": 1}}', "[]", None])
def test_a_damaged_entry_is_ignored_and_written_again(
    damage: str | None, episodes: list[Episode], tmp_path: Path
) -> None:
    used(Timed(tmp_path, slow="learn2learn"), episodes)
    (choice,) = tmp_path.glob("engines/*/choice.json")
    choice.unlink() if damage is None else choice.write_text(damage)
    assert used(Timed(tmp_path), episodes) == "learn2learn"
    assert json.loads(choice.read_text())["engine"] == "learn2learn"


def test_what_a_run_has_chosen_is_kept_to(
    episodes: list[Episode], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    engine = Timed(tmp_path)
    engine.chosen[KIND] = "functional"  # as a checkpoint says
    assert used(engine, episodes) == "functional"
    assert caplog.text == ""
    assert not list(tmp_path.iterdir())


def test_all_processes_take_what_the_first_has_chosen(episodes: list[Episode], tmp_path: Path) -> None:
    engine = Timed(tmp_path)
    engine.settle(tmp_path, lambda _: "functional")  # the choice of the first one
    assert used(engine, episodes) == "functional"
    assert not list(tmp_path.iterdir())


def test_nothing_is_measured_where_it_is_certain(
    make_model: Callable[..., DialogModel], episodes: list[Episode], tmp_path: Path
) -> None:
    engine = AutoEngine(memory=1024)
    engine.settle(tmp_path, lambda make: make())
    engine.meta_gradient(make_model(), mean_token_loss, episodes, INNER, "mean")
    assert engine.chosen == {KIND: "vectorized"}
    assert not list(tmp_path.iterdir())


def test_a_loop_that_the_memory_does_not_hold_is_not_tried(episodes: list[Episode], tmp_path: Path) -> None:
    engine = AutoEngine(memory=0.01)
    engine.settle(tmp_path, lambda make: make())
    assert used(engine, episodes) == "functional"
    assert not list(tmp_path.iterdir())
