"""The time model of engine=auto, compared with torch's count of operations and with measured times."""

import json
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from metadialog.benchmark.workload import CONFIGURATIONS, make_workload
from metadialog.engines.auto import AutoEngine, candidates
from metadialog.engines.base import InnerLoop, support_of
from metadialog.engines.estimate import STACKED, work_of
from metadialog.models.loss import mean_token_loss
from metadialog.models.rnn import DialogModel

RESULTS = Path(__file__).parents[2] / "experiments" / "cost_of_maml" / "results" / "bench.json"
ENGINES = ("learn2learn", "vectorized", "lean")


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_forward_pass_is_what_torch_counts(cell: str, *, tied: bool) -> None:
    work = make_workload(CONFIGURATIONS["small"], 1, torch.device("cpu"))
    model = DialogModel(
        1000,
        cell=cell,  # type: ignore[arg-type]
        embedding_size=24,
        hidden_size=32,
        layers=2,
        dropout=0.0,
        tied_embedding=tied,
    )
    found = work_of(model, work.episodes)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        for episode in work.episodes:
            mean_token_loss(model, support_of(episode))
    # torch counts the products of recurrent layers as one operation per time step, or not at all.
    linear = 2 * 48 * 16 * (1000 * (24 if tied else 32) + (24 * 32 if tied else 0))
    assert counter.get_total_flops() in (linear, found.support)
    gates = {"rnn": 1, "gru": 3, "lstm": 4}[cell]
    assert found.support == linear + 2 * 48 * 16 * gates * 32 * (24 + 32 + 32 + 32)
    assert (found.support_steps, found.query_steps) == (24, 24)


def test_more_work_takes_longer() -> None:
    work = work_of(*_small())
    times = [
        work.seconds(STACKED, InnerLoop(0.1, steps, first_order=order), rounds=rounds, recomputed=recomputed)
        for steps, order, rounds, recomputed in (
            (1, True, 1, False),
            (1, False, 1, False),
            (1, False, 2, False),
            (5, False, 2, False),
            (5, False, 2, True),
        )
    ]
    assert times == sorted(set(times))


def _small() -> tuple[DialogModel, list]:  # type: ignore[type-arg]
    work = make_workload(CONFIGURATIONS["small"], 1, torch.device("cpu"))
    return work.model, work.episodes


def test_it_expects_what_was_measured() -> None:
    """The estimate is within a factor of two, so the same engine is fastest as in the benchmark."""
    measured = [
        row
        for row in json.loads(RESULTS.read_text(encoding="utf-8"))
        if row["kind"] == "engine" and row["engine"] in ENGINES and row["config"] in ("small", "medium")
    ]
    assert len(measured) == 18
    for steps in (1, 5, 10):
        for config in ("small", "medium"):
            work = make_workload(CONFIGURATIONS[config], steps, torch.device("cpu"))
            expected = {c.engine: 1000 * c.seconds for c in candidates(work.model, work.episodes, work.inner, 1024)}
            rows = {
                row["engine"]: row["ms_median"]
                for row in measured
                if (row["config"], row["inner_steps"]) == (config, steps)
            }
            for engine, milliseconds in rows.items():
                assert 0.5 < expected[engine] / milliseconds < 2, (config, steps, engine)
            engine = AutoEngine(memory=4096)
            picked, _ = engine.pick(work.model, mean_token_loss, work.episodes, work.inner)
            assert picked == "vectorized"
            assert rows["vectorized"] < 1.1 * min(rows.values())
