"""The functional engine: models of every kind, with everything that an inner loop can be."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor, nn

from metadialog.engines.base import Engine, InnerLoop, Objective
from metadialog.engines.functional.engine import FunctionalEngine
from metadialog.engines.lean import LeanEngine
from metadialog.engines.testing import VOCABULARY, EngineTestCase, random_episodes
from metadialog.engines.vectorized import VectorizedEngine
from metadialog.episodes import Batch
from metadialog.inner.base import InnerRule
from metadialog.inner.sgd import PLAIN
from metadialog.models.cells import scan
from metadialog.models.hred import HRED
from metadialog.models.recurrence import CELLS
from metadialog.models.rnn import DialogModel
from metadialog.models.seq2seq import Seq2Seq

SIZES: dict[str, Any] = {"embedding_size": 3, "hidden_size": 4, "layers": 1}


def seq2seq(attention: Literal["bahdanau", "luong"], *, tied: bool) -> nn.Module:
    return Seq2Seq(VOCABULARY, attention=attention, cell="gru", dropout=0.0, tied_embedding=tied, **SIZES)


class TestFunctional(EngineTestCase):
    models: ClassVar[Mapping[str, Callable[[], nn.Module]]] = {
        **EngineTestCase.models,
        "lstm": lambda: DialogModel(VOCABULARY, cell="lstm", dropout=0.0, tied_embedding=True, **SIZES),
        "luong": lambda: seq2seq("luong", tied=True),
        "bahdanau": lambda: seq2seq("bahdanau", tied=False),
        "hred": lambda: HRED(VOCABULARY, cell="lstm", dropout=0.0, tied_embedding=False, **SIZES),
    }

    def make_engine(self) -> Engine:
        return FunctionalEngine(memory=1024)


class TestVectorized(EngineTestCase):
    rules: ClassVar[Mapping[str, InnerRule]] = {"sgd": PLAIN}

    def make_engine(self) -> Engine:
        return VectorizedEngine()


class TestLean(TestVectorized):
    def make_engine(self) -> Engine:
        return LeanEngine(memory=1e-6)


def doubled(model: nn.Module, batch: Batch) -> Tensor:
    logits, _ = model(batch.inputs)
    found: Tensor = 2 * (logits.logsumexp(-1) * batch.mask).sum()
    return found


class TestAnOutsidersObjective(TestFunctional):
    objective: ClassVar[Objective] = staticmethod(doubled)
    models: ClassVar[Mapping[str, Callable[[], nn.Module]]] = EngineTestCase.models


@pytest.mark.parametrize("lengths", [None, [3, 0, 5]], ids=["whole", "of some lengths"])
@pytest.mark.parametrize("cell", CELLS)
def test_cells_are_torchs_own(cell: str, lengths: list[int] | None) -> None:
    torch.manual_seed(0)
    rnn = CELLS[cell](2, 3, 2, batch_first=True).double()
    inputs = torch.randn(3, 5, 2, dtype=torch.float64)
    first, second = torch.randn(2, 2, 3, 3, dtype=torch.float64)
    start = first, second
    outputs, after = scan(
        rnn, inputs, start if cell == "lstm" else start[0], None if lengths is None else torch.tensor(lengths)
    )
    for row, length in enumerate(lengths or [5, 5, 5]):
        begun = [state[:, row : row + 1].contiguous() for state in start]
        ends = after if isinstance(after, tuple) else (after,)
        if length:
            expected, last = rnn(inputs[row : row + 1, :length], tuple(begun) if cell == "lstm" else begun[0])
            torch.testing.assert_close(outputs[row, :length], expected[0])
            begun = list(last) if isinstance(last, tuple) else [last]
        assert not outputs[row, length:].any()
        for end, wanted in zip(ends, begun, strict=False):
            torch.testing.assert_close(end[:, row], wanted[:, 0])


def test_tasks_with_dropout_go_one_by_one_and_drop_the_same_units() -> None:
    model = HRED(VOCABULARY, cell="gru", dropout=0.3, tied_embedding=False, **SIZES).double().train()
    case = TestFunctional()
    case.compare(model, random_episodes(), InnerLoop(0.3, 3, query_weights=(0.0, 0.2, 0.3, 0.5)))
    case.compare(model, random_episodes(), InnerLoop(0.3, 0))


def test_few_tasks_at_once_are_all_tasks() -> None:
    model = TestFunctional.models["luong"]().double()

    class Short(TestFunctional):
        def make_engine(self) -> Engine:
            return FunctionalEngine(memory=0.02)

    Short().compare(model, random_episodes(4), InnerLoop(0.3, 4))
