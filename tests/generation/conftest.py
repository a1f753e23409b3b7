from collections.abc import Sequence
from typing import Literal

import pytest
import torch

from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.datasets.dialogue import Dialogue
from metadialog.models.loss import mean_token_loss
from metadialog.models.rnn import DialogModel
from metadialog.samplers.exchanges import ExchangeEncoder
from metadialog.tokenizers.byte_pair import BytePairTokenizer

Cell = Literal["rnn", "gru", "lstm"]
CELLS: tuple[Cell, ...] = ("rnn", "gru", "lstm")
VOCAB_SIZE = 400


@pytest.fixture(scope="session")
def dialogues() -> list[Dialogue]:
    """A few real dialogues."""
    found = ChatterbotDataset(language="english").dialogues()
    return [dialogue for dialogue in found if dialogue.topic in ("food", "money")][:30]


@pytest.fixture(scope="session")
def encoder(dialogues: Sequence[Dialogue]) -> ExchangeEncoder:
    """An encoder of exchanges, with a byte-pair tokenizer."""
    tokenizer = BytePairTokenizer(vocab_size=VOCAB_SIZE).train(turn.text for d in dialogues for turn in d.turns)
    return ExchangeEncoder(tokenizer, 3, 40, "all")


@pytest.fixture(scope="session")
def prompts(dialogues: Sequence[Dialogue], encoder: ExchangeEncoder) -> list[tuple[int, ...]]:
    """Real prompts of different lengths."""
    found = {exchange.prompt for exchange in encoder.exchanges(dialogues)}
    return sorted(found, key=lambda prompt: (len(prompt), prompt))[::2]


@pytest.fixture(scope="session", params=CELLS)
def trained(request: pytest.FixtureRequest, dialogues: Sequence[Dialogue], encoder: ExchangeEncoder) -> DialogModel:
    """A model that was trained a little, in double precision, so that rounding does not decide between tokens."""
    batch = encoder.batch(dialogues)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = DialogModel(
            VOCAB_SIZE,
            cell=request.param,
            embedding_size=16,
            hidden_size=48,
            layers=2,
            dropout=0.1,
            tied_embedding=False,
        ).double()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        for _ in range(60):
            optimizer.zero_grad()
            mean_token_loss(model, batch).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return model
