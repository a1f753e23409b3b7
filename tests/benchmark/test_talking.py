"""The benchmark of adaptation and replies: the plain loops compute the same as the measured functions."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Export

from metadialog.benchmark import talking_parts
from metadialog.benchmark.plain_loops import plain_adaptation, plain_reply
from metadialog.benchmark.talking import Sizes
from metadialog.evaluation.scoring import score
from metadialog.inference.decoding import whole_characters
from metadialog.inference.dialogues import as_turns
from metadialog.inference.folder import load_model

Run = Callable[..., Any]


def test_the_plain_loops_do_the_same(export: Export) -> None:
    model = load_model(export("algorithm=finetune"))
    dialogues = talking_parts.conversations(2)
    adapted = model.adapt(dialogues, 3, rate=1.0)
    batch = model.equipment.encoder.batch(dialogues)
    rate = model.equipment.config["algorithm"]["inner_lr"]
    plain = plain_adaptation(model.module, batch, 3, rate)
    assert score(plain, batch).loss == pytest.approx(adapted.curve[3].support_loss, rel=1e-4)
    prompt = model.equipment.encoder.prompt(as_turns("hello"), "bot")
    said = plain_reply(model.module, prompt, 5)
    reply = model.reply("hello", generation={"name": "greedy", "max_tokens": 5, "min_tokens": 5})
    assert whole_characters(model.tokenizer.decode(said)) == reply  # no end token, and no forbidden tokens


def test_the_command_measures_and_makes_a_table(run: Run) -> None:
    outcome = run(
        "bench", "bench=talking", "bench.parts=[recurrent]", "bench.rounds=1", "bench.tokens=3", "bench.clients=2",
        "device=cpu", "output=costs",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    rows = json.loads(Path("costs/bench.json").read_text())
    assert [row["what"].split()[0] for row in rows] == ["adapt", "first", "one", "2", "2"]
    assert all(row["value"] > 0 and row["ratio"] > 0 for row in rows)
    assert Path("costs/table.md").read_text().count("\n") == 2 + len(rows)
    assert "a plain PyTorch loop" in outcome.out


def test_a_transformer_is_trained_like_the_plain_loop_beside_it() -> None:
    (row,) = talking_parts.transformer(Sizes(1, 2, 1, "cpu", 1))
    assert row.ratio is not None
    assert 0.1 < row.ratio < 10
