"""The recurrent model: shapes, causality, the equations of its cells, and second derivatives."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from metadialog.models.recurrence import Hidden
from metadialog.models.rnn import DialogModel

CELLS = ("rnn", "gru", "lstm")
VOCABULARY, BATCH, TIME, HIDDEN = 13, 3, 6, 5


def make(cell: str = "gru", **options: object) -> DialogModel:
    torch.manual_seed(0)
    chosen = {"embedding_size": 4, "hidden_size": HIDDEN, "layers": 1, "dropout": 0.0, "tied_embedding": False}
    return DialogModel(VOCABULARY, cell=cell, **{**chosen, **options}).double().eval()  # type: ignore[arg-type]


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(VOCABULARY, (BATCH, TIME), generator=torch.Generator().manual_seed(1))


def parts(hidden: Hidden) -> tuple[Tensor, ...]:
    return hidden if isinstance(hidden, tuple) else (hidden,)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_shapes(tokens: Tensor, cell: str, layers: int) -> None:
    logits, hidden = make(cell, layers=layers)(tokens)
    assert logits.shape == (BATCH, TIME, VOCABULARY)
    assert [part.shape for part in parts(hidden)] == [(layers, BATCH, HIDDEN)] * (2 if cell == "lstm" else 1)


@pytest.mark.parametrize("cell", CELLS)
def test_a_token_changes_nothing_before_it(tokens: Tensor, cell: str) -> None:
    model = make(cell, layers=2)
    changed = tokens.clone()
    changed[:, 3] = (changed[:, 3] + 1) % VOCABULARY
    before, after = model(tokens)[0], model(changed)[0]
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 3:], after[:, 3:])


@pytest.mark.parametrize("cell", CELLS)
def test_the_state_carries_all_that_was_read(tokens: Tensor, cell: str) -> None:
    model = make(cell, layers=2)
    whole, _ = model(tokens)
    first, hidden = model(tokens[:, :2])
    second, _ = model(tokens[:, 2:], hidden)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole, rtol=1e-12, atol=1e-12)


Weights = dict[str, Tensor]


def products(x: Tensor, h: Tensor, w: Weights) -> tuple[Tensor, Tensor]:
    return w["weight_ih_l0"] @ x + w["bias_ih_l0"], w["weight_hh_l0"] @ h + w["bias_hh_l0"]


def elman(x: Tensor, state: list[Tensor], w: Weights) -> list[Tensor]:
    from_x, from_h = products(x, state[0], w)
    return [torch.tanh(from_x + from_h)]


def gru(x: Tensor, state: list[Tensor], w: Weights) -> list[Tensor]:
    """Cho et al. 2014, with the reset gate after the product as in cuDNN."""
    [h] = state
    from_x, from_h = (product.chunk(3) for product in products(x, h, w))
    reset, update = (torch.sigmoid(from_x[gate] + from_h[gate]) for gate in (0, 1))
    candidate = torch.tanh(from_x[2] + reset * from_h[2])
    return [(1 - update) * candidate + update * h]


def lstm(x: Tensor, state: list[Tensor], w: Weights) -> list[Tensor]:
    """Hochreiter and Schmidhuber 1997, with forget gates."""
    h, c = state
    take, keep, candidate, give = sum(products(x, h, w)).chunk(4)  # type: ignore[union-attr]
    c = torch.sigmoid(keep) * c + torch.sigmoid(take) * torch.tanh(candidate)
    return [torch.sigmoid(give) * torch.tanh(c), c]


@pytest.mark.parametrize(("cell", "step"), [("rnn", elman), ("gru", gru), ("lstm", lstm)])
def test_the_cell_is_that_of_its_equations(
    tokens: Tensor, cell: str, step: Callable[[Tensor, list[Tensor], Weights], list[Tensor]]
) -> None:
    model = make(cell)
    weights: Weights = {**dict(model.rnn.named_parameters())}
    logits, _ = model(tokens)
    for row in range(BATCH):
        state = [torch.zeros(HIDDEN, dtype=torch.float64)] * (2 if cell == "lstm" else 1)
        for time in range(TIME):
            state = step(model.embed.weight[tokens[row, time]], state, weights)
            expected = model.linear.weight @ state[0] + model.linear.bias
            torch.testing.assert_close(logits[row, time], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_first_and_second_derivatives(tokens: Tensor, device: torch.device, cell: str) -> None:
    model, tokens = make(cell, embedding_size=2, hidden_size=2).to(device), tokens.to(device)
    names = ["embed.weight", "rnn.weight_hh_l0", "linear.weight"]
    inputs = tuple(model.get_parameter(name).detach().clone().requires_grad_() for name in names)

    def loss(*values: Tensor) -> Tensor:
        replaced = dict(zip(names, values, strict=True))
        logits: Tensor = torch.func.functional_call(model, replaced, (tokens[:1, :3],))[0]
        return logits.logsumexp(-1).sum()

    with torch.backends.cudnn.flags(enabled=False):  # as in every inner loop: cuDNN has no second derivatives
        assert torch.autograd.gradcheck(loss, inputs)
        assert torch.autograd.gradgradcheck(loss, inputs)


@pytest.mark.cuda
@pytest.mark.parametrize("cell", CELLS)
def test_a_gpu_computes_the_same(tokens: Tensor, cell: str) -> None:
    model = make(cell, layers=2)
    expected, _ = model(tokens)
    found, _ = model.cuda()(tokens.cuda())
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("embedding_size", [HIDDEN, 4])
def test_a_tied_embedding_is_one_parameter(tokens: Tensor, embedding_size: int) -> None:
    model = make(tied_embedding=True, embedding_size=embedding_size)
    assert model.embed.weight is model.linear.weight
    assert [name for name, _ in model.named_parameters()].count("linear.weight") == 0
    assert model(tokens)[0].shape == (BATCH, TIME, VOCABULARY)
    untied = make(embedding_size=embedding_size)
    saved = sum(p.numel() for p in untied.parameters()) - sum(p.numel() for p in model.parameters())
    # There are no output weights; a linear layer maps the hidden state to the smaller embedding.
    between = 0 if embedding_size == HIDDEN else (HIDDEN + 1) * embedding_size
    assert saved == VOCABULARY * HIDDEN - between


def test_dropout_is_for_training_only(tokens: Tensor) -> None:
    model = make(layers=2, dropout=0.5)
    assert torch.equal(model(tokens)[0], model(tokens)[0])
    model.train()
    assert not torch.equal(model(tokens)[0], model(tokens)[0])
    torch.manual_seed(4)
    first = model(tokens)[0]
    torch.manual_seed(4)
    assert torch.equal(first, model(tokens)[0])
