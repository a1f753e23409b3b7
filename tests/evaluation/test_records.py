import json
import math
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from metadialog.episodes import Batch, Episode
from metadialog.evaluation.records import Record, to_frame, write_records
from metadialog.evaluation.scoring import word_perplexity
from metadialog.loggers.base import RECORD_COLUMNS
from metadialog.runs.records import EPISODES_KEY, LANGUAGE_KEY, METRICS_KEY


def record(inner_step: int, loss: float, bleu: float | None = None) -> Record:
    return Record(
        algorithm="maml",
        engine="learn2learn",
        dataset="chatterbot-english",
        seed=0,
        split="meta_test",
        topic="food",
        episode=0,
        shots=2,
        inner_step=inner_step,
        loss=loss,
        tokens=10,
        words=5,
        word_perplexity=word_perplexity(loss * 10, 5),
        token_accuracy=0.5,
        rate=1.0,
        selected=inner_step == 1,
        bleu=bleu,
    )


def episode() -> Episode:
    ids = torch.ones(1, 3, dtype=torch.long)
    batch = Batch(ids, ids, ids.bool(), torch.tensor([2]))
    return Episode("food", 0, batch, batch, (), ("food:1", "food:2"), ("food:9",))


def test_records_are_written_and_read_with_their_episodes(tmp_path: Path) -> None:
    path = tmp_path / "adaptation.parquet"
    frame = to_frame([record(0, 2.0, bleu=12.5), record(1, 1 / 3)])
    write_records(path, frame, [episode()], "zh")
    pd.testing.assert_frame_equal(pd.read_parquet(path), frame, check_exact=True)
    drawn = json.loads(pq.read_metadata(path).metadata[EPISODES_KEY])
    assert drawn == [
        {"topic": "food", "episode": 0, "shots": 2, "support": ["food:1", "food:2"], "query": ["food:9"]},
    ]
    assert pq.read_metadata(path).metadata[LANGUAGE_KEY] == b"zh"
    metrics = json.loads(pq.read_metadata(path).metadata[METRICS_KEY])
    assert "tok:zh" in metrics["bleu"]
    assert "nc:6" in metrics["chrf"]


def test_the_columns_are_those_that_loggers_expect() -> None:
    frame = to_frame([record(0, 2.0)])
    assert tuple(frame.columns) == RECORD_COLUMNS
    assert frame["bleu"].isna().all()
    assert frame["bleu"].dtype == "float64"


def test_word_perplexity_is_of_totals() -> None:
    assert word_perplexity(2.0 * 10, 5) == pytest.approx(math.exp(4.0))
    assert word_perplexity(1e6, 1) == math.inf
    assert math.isnan(word_perplexity(3.0, 0))
