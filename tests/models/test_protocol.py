"""The protocol of models, which every kind and a user's model fulfil."""

from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from metadialog.algorithms.cavia import ContextEmbedding
from metadialog.errors import ConfigError
from metadialog.generation.beam import Beam
from metadialog.generation.greedy import Greedy
from metadialog.models.hred import HRED
from metadialog.models.protocol import BaseModel, as_dialogue_model, token_embedding
from metadialog.models.rnn import DialogModel
from metadialog.models.seq2seq import Seq2Seq
from metadialog.models.transformer import Transformer

VOCABULARY = 12
SIZES = {"embedding_size": 6, "hidden_size": 6, "layers": 1, "dropout": 0.0, "tied_embedding": False}


class Outsider(BaseModel):
    """A user's model: the next token depends on the mean embedding of the tokens so far."""

    parts: ClassVar = {"embeddings": ("table.*",), "head": ("out.*",)}
    embedding_name = "table"

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(VOCABULARY, 5)
        self.out = nn.Linear(5, VOCABULARY)

    def forward(self, tokens: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        begun = torch.zeros(1, len(tokens), 5) if state is None else state
        summed = begun[0, :, None] + self.table(tokens).cumsum(1)  # [batch, time, 5]
        return self.out(summed), summed[None, :, -1]


class Bare(nn.Module):
    """A module that inherits from none of our classes."""

    def __init__(self, of: nn.Module) -> None:
        super().__init__()
        self.of = of

    def forward(self, tokens: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = self.of(tokens, state)
        return found


def models() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {
        "gru": DialogModel(VOCABULARY, cell="gru", **SIZES),  # type: ignore[arg-type]
        "lstm": DialogModel(VOCABULARY, cell="lstm", **SIZES),  # type: ignore[arg-type]
        "hred": HRED(VOCABULARY, cell="gru", **SIZES),  # type: ignore[arg-type]
        "luong": Seq2Seq(VOCABULARY, attention="luong", cell="gru", **SIZES),  # type: ignore[arg-type]
        "bahdanau": Seq2Seq(VOCABULARY, attention="bahdanau", cell="lstm", **SIZES),  # type: ignore[arg-type]
        "transformer": Transformer(VOCABULARY, embedding_size=8, heads=2, layers=2, dropout=0.0, tied_embedding=False),
        "outsider": Outsider(),
    }


@pytest.fixture(params=sorted(models()))
def model(request: pytest.FixtureRequest) -> nn.Module:
    return models()[request.param].double().eval() if request.param != "outsider" else models()["outsider"]


@torch.no_grad()
def test_reading_and_stepping_are_the_forward_pass(model: nn.Module) -> None:
    speaker = as_dialogue_model(model)
    rows = [[1, 4, 5, 3], [1, 3], [1, 4, 7, 8, 9, 3]]
    tokens = torch.tensor([row + [0] * (6 - len(row)) for row in rows])
    logits, state = speaker.read(tokens, torch.tensor([len(row) for row in rows]))
    said = torch.tensor([6, 7, 8])
    after, _ = speaker.step(said, state)
    for row, prompt in enumerate(rows):
        whole, _ = model(torch.tensor([[*prompt, int(said[row])]]))
        torch.testing.assert_close(logits[row], whole[0, -2])
        torch.testing.assert_close(after[row], whole[0, -1])


@torch.no_grad()
def test_rows_of_a_state_can_be_chosen(model: nn.Module) -> None:
    speaker = as_dialogue_model(model)
    tokens = torch.tensor([[1, 4, 5, 3], [1, 4, 6, 3]])
    _, state = speaker.read(tokens, torch.tensor([4, 4]))
    chosen = torch.tensor([1, 1, 0])
    expected, _ = speaker.step(torch.tensor([7, 8]), state)
    logits, _ = speaker.step(torch.tensor([8, 8, 7]), speaker.select_rows(state, chosen))
    torch.testing.assert_close(logits, expected[chosen])


@torch.no_grad()
def test_scores_are_those_of_the_logits(model: nn.Module) -> None:
    tokens, targets = torch.tensor([[1, 4, 5], [1, 3, 0]]), torch.tensor([[4, 5, 2], [6, 0, 0]])
    mask = torch.tensor([[False, True, True], [True, False, False]])
    losses, hits = as_dialogue_model(model).token_scores(tokens, targets, mask)
    log_p = model(tokens)[0].log_softmax(-1)
    assert torch.equal(losses == 0, ~mask)
    assert torch.equal(hits, (log_p.argmax(-1) == targets) & mask)
    torch.testing.assert_close(losses[mask], -log_p.gather(-1, targets[..., None])[..., 0][mask])
    torch.testing.assert_close(as_dialogue_model(model).token_losses(tokens, targets, mask), losses)


def test_a_token_embedding_can_be_replaced(model: nn.Module) -> None:
    plain = token_embedding(model, "here")
    assert plain.num_embeddings == VOCABULARY
    as_dialogue_model(model).replace_token_embedding(ContextEmbedding(plain, 2).to(plain.weight.dtype))
    assert any(name.endswith(".context") for name, _ in model.named_parameters())
    with pytest.raises(ConfigError, match=r"algorithm=cavia.*is ContextEmbedding"):
        token_embedding(model, "algorithm=cavia")


def test_a_module_of_its_own_needs_forward_alone() -> None:
    own = Outsider()
    arguments = ([[1, 4], [1, 5, 6, 3]], 2, [0, 1], None)
    for generation in (Greedy(max_tokens=5), Beam(max_tokens=5, beams=3, length_penalty=1.0)):
        assert generation.generate(Bare(own), *arguments) == generation.generate(own, *arguments)


def test_a_model_without_an_embedding_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"embedding=pretrained: Bare has no token embedding"):
        token_embedding(Bare(Outsider()), "embedding=pretrained")

    class Nameless(Outsider):
        embedding_name = "words"

    with pytest.raises(ConfigError, match="Nameless has no token embedding `words`"):
        token_embedding(Nameless(), "embedding=pretrained")
