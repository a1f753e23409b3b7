"""Models with turn structure, compared with their papers' equations, and the properties of all models."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from metadialog.models.hred import HRED
from metadialog.models.protocol import map_state
from metadialog.models.seq2seq import Seq2Seq
from metadialog.models.turns import Turns
from metadialog.token_ids import OTHER_ID, PAD_ID, SELF_ID

VOCABULARY, HIDDEN, EMBEDDING = 13, 6, 4
CELLS = ("rnn", "gru", "lstm")
KINDS = ("luong", "bahdanau", "hred")
BEGIN, END = 1, 2
DIALOGUES = [
    [BEGIN, OTHER_ID, 5, 6, END, SELF_ID, 7, 8, 9, END, OTHER_ID, 10, END],
    [6, 7, SELF_ID, 11, OTHER_ID, 12, 5, 5, SELF_ID, 9],  # begins and ends within a turn
    [SELF_ID, SELF_ID, 8],  # an empty turn
    [5, 6, 7],  # only the rest of a turn
]

Model = HRED | Seq2Seq


def make(kind: str, cell: str = "gru", **options: object) -> Model:
    torch.manual_seed(0)
    chosen: dict[str, object] = {"embedding_size": EMBEDDING, "hidden_size": HIDDEN, "layers": 1, "dropout": 0.0}
    chosen |= {"cell": cell, "tied_embedding": False, **options}
    model = (
        HRED(VOCABULARY, **chosen)  # type: ignore[arg-type]
        if kind == "hred"
        else Seq2Seq(VOCABULARY, attention=kind, **chosen)  # type: ignore[arg-type]
    )
    return model.double().eval()


def padded(dialogues: Sequence[Sequence[int]]) -> Tensor:
    longest = max(map(len, dialogues))
    return torch.tensor([[*tokens, *[PAD_ID] * (longest - len(tokens))] for tokens in dialogues])


def turns_of(tokens: Sequence[int]) -> list[list[int]]:
    """Return the tokens of each turn; turns after the first begin with a marker."""
    found: list[list[int]] = [[]]
    for token in tokens:
        if token in (SELF_ID, OTHER_ID):
            found.append([])
        found[-1].append(token)
    return found


State = tuple[Tensor, ...]


class Loop:
    """Compute a recurrent layer by its equations, one token at a time."""

    def __init__(self, rnn: nn.RNNBase) -> None:
        assert rnn.num_layers == 1
        self.rnn, self.w = rnn, {name: weight.detach() for name, weight in rnn.named_parameters()}

    def zero(self) -> State:
        return tuple(
            torch.zeros(self.rnn.hidden_size).double() for _ in range(2 if isinstance(self.rnn, nn.LSTM) else 1)
        )

    def __call__(self, x: Tensor, state: State) -> State:
        from_x = self.w["weight_ih_l0"] @ x + self.w["bias_ih_l0"]
        from_h = self.w["weight_hh_l0"] @ state[0] + self.w["bias_hh_l0"]
        if isinstance(self.rnn, nn.GRU):
            (rx, zx, nx), (rh, zh, nh) = from_x.chunk(3), from_h.chunk(3)
            r, z = torch.sigmoid(rx + rh), torch.sigmoid(zx + zh)
            return ((1 - z) * torch.tanh(nx + r * nh) + z * state[0],)
        if isinstance(self.rnn, nn.LSTM):
            i, f, g, o = (from_x + from_h).chunk(4)
            c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
            return torch.sigmoid(o) * torch.tanh(c), c
        return (torch.tanh(from_x + from_h),)


def bridged(model: Model, vector: Tensor) -> State:
    return torch.tanh(model.bridge.linear(vector)).chunk(model.bridge.shape[0])


def embedded(model: Model, tokens: Sequence[int]) -> list[Tensor]:
    return [model.embed.weight[token] for token in tokens]


def hred_by_hand(model: HRED, tokens: Sequence[int]) -> Tensor:
    """Serban et al. 2016, section 3 and equation 3: an encoder per turn, a context over turns, a decoder per turn."""
    encoder, over_turns, decoder = Loop(model.encoder), Loop(model.context), Loop(model.decoder)
    context, logits = over_turns.zero(), []
    for turn in turns_of(tokens):
        state, d = encoder.zero(), bridged(model, context[0])
        for x in embedded(model, turn):
            state, d = encoder(x, state), decoder(x, d)
            logits.append(model.head.linear(model.from_state(d[0]) + model.from_token(x)))
        context = over_turns(state[0], context)
    return torch.stack(logits)


def seq2seq_by_hand(model: Seq2Seq, tokens: Sequence[int]) -> Tensor:
    """Luong et al. 2015, section 3.1 and equation 5; Bahdanau et al. 2015, appendix A."""
    encoder, decoder, attention = Loop(model.encoder), Loop(model.decoder), dict(model.attention.named_parameters())
    e, read, logits = encoder.zero(), list[Tensor](), list[Tensor]()

    def context(query: Tensor, seen: list[Tensor]) -> Tensor:
        if not seen:
            return torch.zeros(HIDDEN).double()
        if "match.weight" in attention:
            scores = [query @ attention["match.weight"] @ h for h in seen]
        else:
            w, u, v = attention["query.weight"], attention["key.weight"], attention["energy.weight"][0]
            scores = [v @ torch.tanh(w @ query + u @ h) for h in seen]
        weights = torch.stack(scores).softmax(0)
        return sum((weight * h for weight, h in zip(weights, seen, strict=True)), torch.zeros(HIDDEN).double())

    for turn in turns_of(tokens):
        d, seen = bridged(model, e[0]), list(read)
        for x in embedded(model, turn):
            e = encoder(x, e)
            read.append(e[0])
            if "match.weight" in attention:
                d = decoder(x, d)
                made = torch.cat([context(d[0], seen), d[0]])
            else:
                c = context(d[0], seen)
                d = decoder(torch.cat([x, c]), d)
                made = torch.cat([c, d[0], x])
            logits.append(model.head.linear(torch.tanh(model.combine(made))))
    return torch.stack(logits)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_papers_equations(kind: str, cell: str) -> None:
    model = make(kind, cell)
    by_hand: Callable[..., Tensor] = hred_by_hand if kind == "hred" else seq2seq_by_hand
    with torch.no_grad():
        logits, _ = model(padded(DIALOGUES))
        for row, tokens in zip(logits, DIALOGUES, strict=True):
            torch.testing.assert_close(row[: len(tokens)], by_hand(model, tokens), rtol=1e-10, atol=1e-12)


def rows(kind: str, cell: str, layers: int = 2) -> tuple[Model, Tensor]:
    model = make(kind, cell, layers=layers)
    return model, padded(DIALOGUES)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_state_carries_all_that_was_read(kind: str, cell: str) -> None:
    model, _ = rows(kind, cell)
    tokens = torch.tensor(DIALOGUES[0])[None]
    whole, _ = model(tokens)
    for cut in range(1, tokens.shape[1]):
        first, state = model(tokens[:, :cut])
        second, _ = model(tokens[:, cut:], state)
        torch.testing.assert_close(torch.cat([first, second], dim=1), whole, rtol=1e-12, atol=1e-12)
    state, one = None, []
    for position in range(tokens.shape[1]):
        logits, state = model(tokens[:, position : position + 1], state)
        one.append(logits)
    torch.testing.assert_close(torch.cat(one, dim=1), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_goes_on_after_padding_as_it_would_alone(kind: str) -> None:
    model, tokens = rows(kind, "lstm")
    more = torch.tensor([[OTHER_ID, 5, 6]] * len(tokens))
    _, state = model(tokens)
    together, _ = model(more, state)
    for row, dialogue in enumerate(DIALOGUES):
        alone, _ = model(torch.tensor([[*dialogue, OTHER_ID, 5, 6]]))
        torch.testing.assert_close(together[row], alone[0, -3:], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_changes_nothing_before_it(kind: str) -> None:
    model, tokens = rows(kind, "gru")
    before, _ = model(tokens)
    for place in range(1, tokens.shape[1]):
        changed = tokens.clone()
        changed[:, place] = SELF_ID  # a turn that begins there
        after, _ = model(changed)
        real = tokens[:, :place] != PAD_ID
        torch.testing.assert_close(after[:, :place][real], before[:, :place][real], rtol=1e-12, atol=1e-12)
        assert not torch.allclose(before[0], after[0]) or tokens[0, place] == SELF_ID


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_a_state_can_be_chosen(kind: str) -> None:
    """States are reordered, as by beam search."""
    model, tokens = rows(kind, "lstm")
    _, state = model(tokens)
    chosen = torch.tensor([2, 0, 0])
    picked = map_state(lambda part: part.index_select(1, chosen), state)
    more = torch.tensor([[5], [6], [7]])
    logits, _ = model(more, picked)
    for row, of in enumerate(chosen.tolist()):
        alone, _ = model(torch.tensor([[*DIALOGUES[of], int(more[row])]]))
        torch.testing.assert_close(logits[row, 0], alone[0, -1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kind", KINDS)
def test_first_and_second_derivatives(device: torch.device, kind: str, cell: str) -> None:
    model = make(kind, cell, hidden_size=3, embedding_size=2).to(device)
    names = [name for name, _ in model.named_parameters()]
    tokens = padded(DIALOGUES[:2]).to(device)

    def function(*values: Tensor) -> Tensor:
        logits, _ = torch.func.functional_call(model, dict(zip(names, values, strict=True)), (tokens,))
        read = tokens != PAD_ID
        found: Tensor = logits.log_softmax(-1)[read][:, 5].mean()
        return found

    weights = tuple(parameter.detach().requires_grad_() for parameter in model.parameters())
    with torch.backends.cudnn.flags(enabled=False):  # as in every inner loop: cuDNN has no second derivatives
        assert torch.autograd.gradcheck(function, weights, atol=1e-7, fast_mode=True)
        assert torch.autograd.gradgradcheck(function, weights, atol=1e-7, fast_mode=True)


@pytest.mark.cuda
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_computes_the_same(kind: str, cell: str) -> None:
    model, tokens = rows(kind, cell)
    expected, _ = model(tokens)
    found, _ = model.cuda()(tokens.cuda())
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [EMBEDDING, HIDDEN])
def test_a_tied_embedding_is_one_parameter(kind: str, width: int) -> None:
    model = make(kind, tied_embedding=True, embedding_size=width)
    assert model.head.linear.weight is model.embed.weight
    logits, _ = model(padded(DIALOGUES))
    assert logits.shape == (len(DIALOGUES), 13, VOCABULARY)
    assert logits.abs().max() < 10


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_belongs_to_one_part(kind: str) -> None:
    from fnmatch import fnmatch

    model = make(kind)
    for name, _ in model.named_parameters():
        assert sum(any(fnmatch(name, pattern) for pattern in of) for of in model.parts.values()) == 1


def test_nothing_but_padding_gives_numbers() -> None:
    for kind in KINDS:
        logits, _ = make(kind)(torch.full((2, 3), PAD_ID))
        assert torch.isfinite(logits).all()


def test_where_turns_lie() -> None:
    turns = Turns.of(padded(DIALOGUES[1:3]))
    assert turns.number.tolist() == [[0, 0, 1, 1, 2, 2, 2, 2, 3, 3], [1, 2, 2, 2, 2, 2, 2, 2, 2, 2]]
    assert turns.lengths.tolist() == [[2, 2, 4, 2], [0, 1, 2, 0]]
    assert turns.position[0].tolist() == [0, 1, 0, 1, 0, 1, 2, 3, 0, 1]
    assert turns.last.tolist() == [3, 2]
