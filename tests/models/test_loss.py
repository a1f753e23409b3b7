"""The loss of all algorithms, on real dialogues."""

import pytest
import torch

from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.datasets.corpus import build_corpus
from metadialog.episodes import Batch, merge
from metadialog.models.loss import mean_token_loss, token_losses
from metadialog.models.rnn import DialogModel
from metadialog.samplers.exchanges import ExchangeEncoder
from metadialog.tokenizers.character import CharacterTokenizer


@pytest.fixture(scope="module")
def encoder() -> ExchangeEncoder:
    return ExchangeEncoder(CharacterTokenizer(vocab_size=261).train([]), 1, 200, "response")


@pytest.fixture(scope="module")
def batches(encoder: ExchangeEncoder) -> list[Batch]:
    """Exchanges of different lengths, each as a batch."""
    corpus = build_corpus(ChatterbotDataset(language="english").dialogues(), "chatterbot")
    found = [encoder.batch([dialogue]) for dialogue in corpus.topics["food"][:4]]
    assert len({batch.inputs.shape[1] for batch in found}) > 1
    return found


@pytest.fixture(scope="module")
def model() -> DialogModel:
    torch.manual_seed(0)
    options = {"embedding_size": 4, "hidden_size": 6, "layers": 1, "dropout": 0.0, "tied_embedding": False}
    return DialogModel(261, cell="gru", **options).double()  # type: ignore[arg-type]


def test_it_is_the_mean_of_the_counted_tokens(model: DialogModel, batches: list[Batch]) -> None:
    batch = merge(batches)
    logits, _ = model(batch.inputs)
    total, counted = 0.0, 0
    for row, column in batch.mask.nonzero().tolist():
        total -= logits[row, column].log_softmax(0)[batch.targets[row, column]].item()
        counted += 1
    assert mean_token_loss(model, batch).item() == pytest.approx(total / counted, rel=1e-12)
    assert 0 < counted < batch.mask.numel()


def test_what_is_not_counted_is_zero(model: DialogModel, batches: list[Batch]) -> None:
    batch = merge(batches)
    losses = token_losses(model, batch)
    assert losses.shape == batch.targets.shape
    assert (losses[~batch.mask] == 0).all()
    assert (losses[batch.mask] > 0).all()


def test_padding_changes_nothing(model: DialogModel, batches: list[Batch]) -> None:
    sums = [token_losses(model, batch).sum() for batch in batches]
    torch.testing.assert_close(token_losses(model, merge(batches)).sum(), torch.stack(sums).sum())
    tokens = sum(int(batch.mask.sum()) for batch in batches)
    torch.testing.assert_close(mean_token_loss(model, merge(batches)), torch.stack(sums).sum() / tokens)
