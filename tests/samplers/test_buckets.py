from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.episodes import Batch
from metadialog.models.loss import mean_token_loss, token_losses
from metadialog.models.rnn import DialogModel
from metadialog.samplers.buckets import MIN_ROWS, MOST_BUCKETS, MOST_PADDING, buckets
from metadialog.samplers.exchanges import ExchangeEncoder
from metadialog.tokenizers.character import CharacterTokenizer

BYTES = CharacterTokenizer(vocab_size=261).train([])


def padding(parts: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.int64]]]) -> float:
    return 1 - sum(int(part.sum()) for part in parts) / sum(len(part) * int(part.max()) for part in parts)


@given(st.lists(st.integers(1, 200), min_size=1, max_size=120))
def test_buckets_hold_each_row_once_and_save_padding(values: list[int]) -> None:
    lengths = np.array(values)
    rows = buckets(lengths)
    if not rows:
        few = len(lengths) < 2 * MIN_ROWS
        # If all exchanges have the same length, no division saves anything.
        assert padding([lengths]) <= MOST_PADDING or few or np.sort(lengths)[MIN_ROWS - 1] == lengths.max()
        return
    assert sorted(np.concatenate(rows).tolist()) == list(range(len(lengths)))
    assert 2 <= len(rows) <= MOST_BUCKETS
    assert all(len(part) >= MIN_ROWS and np.all(np.diff(part) > 0) for part in rows)
    assert padding([lengths[part] for part in rows]) < padding([lengths])
    assert all(lengths[one].max() <= lengths[other].min() for one, other in pairwise(rows))


def test_few_rows_and_little_padding_are_left_alone() -> None:
    assert buckets(np.array([1, 100] * (MIN_ROWS - 1))) == []
    assert buckets(np.array([75] * 50 + [100] * 50)) == []
    assert [part.tolist() for part in buckets(np.array([100, 10] * 20))] == [
        list(range(1, 40, 2)),
        list(range(0, 40, 2)),
    ]


@pytest.fixture
def batch() -> Batch:
    """Return exchanges of dialogues with increasingly long turns."""
    turns = tuple(Turn("ab"[i % 2], "x" * (i % 30 + 1)) for i in range(90))
    made = ExchangeEncoder(BYTES, 1, 80, "response").batch([Dialogue("t", turns, "t:1")])
    assert len(made.buckets) > 1
    return made


def test_buckets_are_the_rows_of_the_batch_cropped(batch: Batch) -> None:
    rows = [tuple(map(tuple, zip(i.tolist(), t.tolist(), m.tolist(), strict=True))) for i, t, m in by_row(batch)]
    cropped = [
        tuple(map(tuple, zip(i.tolist(), t.tolist(), m.tolist(), strict=True)))
        for bucket in batch.buckets
        for i, t, m in by_row(bucket)
    ]
    assert sorted(map(strip, rows)) == sorted(map(strip, cropped))
    assert sum(int(bucket.words.sum()) for bucket in batch.buckets) == int(batch.words.sum())
    moved = batch.to(torch.device("cpu"))
    assert len(moved.buckets) == len(batch.buckets)


def by_row(batch: Batch) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    return list(zip(batch.inputs, batch.targets, batch.mask, strict=True))


def strip(row: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    while row[-1][1:] == (0, False):  # positions without a target are padding
        row = row[:-1]
    return row


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_the_loss_and_its_gradients_are_those_of_the_whole_batch(cell: str, batch: Batch) -> None:
    torch.manual_seed(0)
    model = DialogModel(
        BYTES.vocab_size,
        cell=cell,  # type: ignore[arg-type]
        embedding_size=8,
        hidden_size=8,
        layers=2,
        dropout=0.0,
        tied_embedding=False,
    ).double()
    whole = token_losses(model, batch).sum() / batch.mask.sum()
    loss = mean_token_loss(model, batch)
    torch.testing.assert_close(loss, whole, rtol=1e-12, atol=0)
    ours = torch.autograd.grad(loss, list(model.parameters()))
    theirs = torch.autograd.grad(whole, list(model.parameters()))
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_small_real_batches_are_not_split(topics: Mapping[str, Sequence[Dialogue]]) -> None:
    encoder = ExchangeEncoder(BYTES, 3, 64, "response")
    assert not any(encoder.batch(found[:5]).buckets for found in topics.values())
