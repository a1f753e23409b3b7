"""The benchmark of models: interleaved measurements, the command with its figure, and memory."""

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from metadialog.benchmark import model_parts
from metadialog.benchmark.model_work import MODELS, Sizes, model_work
from metadialog.benchmark.rows import Setting, compared, tables
from metadialog.benchmark.storages import FEATURES, LOGITS, WEIGHTS, LiveStorages
from metadialog.models.loss import mean_token_loss

Run = Callable[..., Any]
SETTING = Setting(torch.device("cpu"), "cpu", 2, 60.0, [1])
SCRIPT = Path(__file__).parents[2] / "experiments" / "cost_of_maml" / "on_cuda.py"


def test_things_are_done_in_turns_and_compared_with_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    now, calls = [0.0], []

    def taking(name: str, seconds: float) -> Callable[[], object]:
        def action() -> None:
            calls.append(name)
            now[0] += seconds

        return action

    monkeypatch.setattr("metadialog.benchmark.rows.CLOCKS", {"cpu": lambda: now[0]})
    rows = list(compared(SETTING, "Question", "what", {"a": taking("a", 6.0), "b": taking("b", 2.0)}))
    assert calls == ["a", "b"] * 3
    assert [(row.who, row.ms, row.times, row.rounds) for row in rows] == [("a", 6000, None, 2), ("b", 2000, 3.0, 2)]
    assert "| what | b | 2000 | 3.00 (3.00-3.00) | a |" in tables(rows)
    scaled = list(compared(SETTING, "Question", "what", {"a": taking("a", 6.0), "b": taking("b", 2.0)}, {"b": 4.0}))
    assert scaled[1].times == pytest.approx(12.0)
    assert scaled[0].line == "Question: what: a 6000 ms"


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_work_of_its_own(name: str) -> None:
    work = model_work(name, Sizes(vocabulary=20, width=8, tasks=2, length=6), torch.device("cpu"))
    loss = mean_token_loss(work.model, work.episodes[0].query)
    assert torch.isfinite(loss)
    again = model_work(name, Sizes(vocabulary=20, width=8, tasks=2, length=6), torch.device("cpu"))
    assert torch.equal(mean_token_loss(again.model, again.episodes[0].query), loss)


def test_memory_is_counted_by_what_it_is_of() -> None:
    model = nn.Linear(4, 50, bias=False)
    with torch.no_grad(), LiveStorages(model, 2, 50) as live:
        kept = torch.ones(2, 50, 4)  # of each task
        features = torch.ones(3, 4)
        del features
        logits = torch.ones(7, 50)
        logits.mul_(2)
        logits[:3].add_(1)  # a view takes no memory
        del logits
        torch.ones(3, 4)
    assert kept.numel() == 400
    assert live.peak == {WEIGHTS: 1600, LOGITS: 1400, FEATURES: 0}


def test_the_command_measures_growth_and_memory_and_draws(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_parts, "GROWTH", {"tasks": (1, 2)})
    outcome = run(
        "bench", "bench=models", "bench.parts=[growth]", "bench.rounds=1", "bench.clock=cpu", "device=cpu",
        "output=costs",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    rows = json.loads(Path("costs/bench.json").read_text())
    assert [(row["size"], row["who"]) for row in rows] == [
        (size, who) for size in (1, 2) for who in ("gradient descent", "learn2learn", "vectorized", "lean")
    ]
    assert all(row["ms"] > 0 for row in rows)
    assert Path("costs/growth.png").stat().st_size > 10_000
    assert "## Growth" in Path("costs/table.md").read_text()


@pytest.mark.skipif(torch.cuda.is_available(), reason="it would measure")
def test_without_a_gpu_the_script_says_so_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert runpy.run_path(str(SCRIPT))["main"]() == 0
    assert capsys.readouterr().out == "torch finds no CUDA device here: nothing is measured\n"


@pytest.mark.cuda
def test_recorded_steps_are_measured_beside_recorded_gradient_descent() -> None:
    setting = Setting(torch.device("cuda"), "wall", 1, 1.0, [1])
    whats = {(row.what, row.who) for row in model_parts.graphs(setting)}
    assert ("meta-step of small, 1 inner step", "vectorized, recorded") in whats
    assert ("joint step of small", "recorded") in whats
