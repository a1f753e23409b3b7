"""The engines, compared with the reference on random models, inner loops and episodes, including edge cases."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from metadialog.engines.base import Engine, InnerLoop, MetaGradient, Reduction
from metadialog.engines.lean import LeanEngine
from metadialog.engines.learn2learn import Learn2LearnEngine
from metadialog.engines.vectorized import VectorizedEngine
from metadialog.episodes import Batch, Episode
from metadialog.models.loss import mean_token_loss
from metadialog.models.parts import select
from metadialog.models.rnn import DialogModel

FAST: dict[str, Engine] = {
    "vectorized": VectorizedEngine(),
    "lean, one task, no weights kept": LeanEngine(memory=1e-6),
    "lean, some weights kept": LeanEngine(memory=0.01),
    "lean, all at once": LeanEngine(memory=1024),
}
PARTS = st.sampled_from([(), ("embeddings",), ("body",), ("head",), ("*_hh_*", "*.bias*"), ("body", "head"), ("*",)])


@dataclass(frozen=True)
class Case:
    """The inputs of a meta-gradient."""

    model: DialogModel
    inner: InnerLoop
    episodes: list[Episode]
    reduction: Reduction


@st.composite
def models(draw: st.DrawFn) -> DialogModel:
    """Small models of all kinds; some are partly frozen, a few completely."""
    torch.manual_seed(draw(st.integers(0, 99)))
    model = DialogModel(
        draw(st.sampled_from([1, 2, 9])),
        cell=draw(st.sampled_from(["rnn", "gru", "lstm"])),
        embedding_size=draw(st.integers(1, 3)),
        hidden_size=draw(st.integers(1, 3)),
        layers=draw(st.integers(1, 3)),
        dropout=draw(st.sampled_from([0.0, 0.4])),
        tied_embedding=draw(st.booleans()),
    ).double()
    frozen = select(model, draw(PARTS), "frozen") if model.rnn.num_layers > 1 else frozenset()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in frozen)
    return model


@st.composite
def batches(draw: st.DrawFn, vocab: int) -> Batch:
    """Batches of one token up to 4 exchanges of 5, some without counted tokens, whole or in two buckets."""
    rows, time = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    tokens = torch.randint(vocab, (2, rows, time), generator=torch.Generator().manual_seed(draw(st.integers(0, 99))))
    flags = draw(st.lists(st.booleans(), min_size=rows * time, max_size=rows * time).filter(any))
    mask, words = torch.tensor(flags).view(rows, time), torch.ones(rows, dtype=torch.int64)
    whole = Batch(tokens[0], tokens[1], mask, words)
    if rows == 1 or draw(st.booleans()):
        return whole
    lengths = (mask * torch.arange(1, time + 1)).amax(1).clamp_min(1)
    buckets = []
    for half in lengths.argsort(stable=True).chunk(2):
        kept, longest = half.sort().values, int(lengths[half].max())
        inputs, targets, counted = (tensor[kept, :longest] for tensor in (whole.inputs, whole.targets, mask))
        buckets.append(Batch(inputs, targets, counted, words[kept], rows=kept))
    return Batch(tokens[0], tokens[1], mask, words, tuple(buckets))


@st.composite
def inner_loops(draw: st.DrawFn, model: DialogModel) -> InnerLoop:
    """Inner loops of 0 to 5 steps, with any adapted part, order, rates and query weights."""
    steps = draw(st.integers(0, 5))
    adapted = draw(st.none() | PARTS.map(lambda parts: select(model, parts, "adapted")))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    rates = []
    for _ in range(draw(st.integers(0, max(1, steps)))):
        of_step = {}
        for name, parameter in model.named_parameters():
            if adapted is None or name in adapted:
                ones = [1] * parameter.dim()
                shapes = [(), tuple(parameter.shape), (parameter.shape[0], *ones[1:]), (*ones[1:], parameter.shape[-1])]
                shape = draw(st.sampled_from(shapes))
                of_step[name] = torch.rand(shape, generator=generator, dtype=torch.float64).requires_grad_()
        rates.append(of_step)
    earlier = st.lists(st.sampled_from([0.0, 0.3, -0.2]), min_size=steps, max_size=steps)
    weights = draw(st.none() | earlier.map(lambda of_steps: (*of_steps, 0.5)))
    return InnerLoop(0.5, steps, draw(st.booleans()), adapted, rates=tuple(rates) or None, query_weights=weights)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Complete cases with 1 to 4 tasks."""
    model = draw(models())
    sets = batches(model.embed.num_embeddings)
    episodes = [
        Episode(f"task {index}", index, draw(sets), draw(sets), (), (), ()) for index in range(draw(st.integers(1, 4)))
    ]
    return Case(model, draw(inner_loops(model)), episodes, draw(st.sampled_from(["mean", "sum"])))


def compute(engine: Engine, case: Case) -> MetaGradient:
    torch.manual_seed(5)  # the dropout masks
    return engine.meta_gradient(case.model, mean_token_loss, case.episodes, case.inner, case.reduction)


def close(found: Tensor, expected: Tensor, scale: float) -> None:
    """Compare within 1e-10 of the tensor's norm, or of the norm of all tensors if this one is nearly zero."""
    assert found.shape == expected.shape
    assert (found - expected).norm() <= 1e-10 * (expected.norm() + 1e-4 * scale)


def agree(found: MetaGradient, expected: MetaGradient) -> None:
    for name in ("loss", "support_losses", "query_losses"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-11, atol=1e-12)
    rates = [of_step.keys() for of_step in expected.rate_gradients]
    assert [of_step.keys() for of_step in found.rate_gradients] == rates
    pairs = list(zip(found.gradients, expected.gradients, strict=True))
    for of_step, expected_of_step in zip(found.rate_gradients, expected.rate_gradients, strict=True):
        pairs += [(of_step[name], gradient) for name, gradient in expected_of_step.items()]
    scale = float(sum(gradient.square().sum() for _, gradient in pairs)) ** 0.5
    for one, other in pairs:
        close(one, other, scale)


@given(case=cases())
@settings(max_examples=25)
def test_all_engines_give_one_meta_gradient(case: Case) -> None:
    expected = compute(Learn2LearnEngine(), case)
    state = torch.get_rng_state()
    for engine in FAST.values():
        agree(compute(engine, case), expected)
        assert torch.equal(torch.get_rng_state(), state)  # the next random numbers are the same with every engine


@pytest.mark.parametrize("engine", [Learn2LearnEngine(), *FAST.values()], ids=["learn2learn", *FAST])
def test_an_inner_loop_that_changes_nothing_is_the_plain_gradient(engine: Engine) -> None:
    torch.manual_seed(3)
    model = DialogModel(
        9, cell="gru", embedding_size=2, hidden_size=3, layers=1, dropout=0.0, tied_embedding=False
    ).double()
    tokens, counted = torch.randint(9, (2, 3, 4)), torch.ones(3, 4, dtype=torch.bool)
    batch = Batch(tokens[0], tokens[1], counted, torch.ones(3, dtype=torch.int64))
    episodes = [Episode("task", 0, batch, batch, (), (), ())]
    expected = torch.autograd.grad(mean_token_loss(model, batch), list(model.parameters()))
    found = compute(engine, Case(model, InnerLoop(0.5, 2, adapted=frozenset()), episodes, "mean"))
    for one, other in zip(found.gradients, expected, strict=True):
        close(one, other, 0.0)
    *_, adapted = engine.adapt(model, mean_token_loss, batch, InnerLoop(0.5, 2, adapted=frozenset()))
    for one, other in zip(adapted.parameters(), model.parameters(), strict=True):
        assert torch.equal(one, other)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    nothing = compute(engine, Case(model, InnerLoop(0.5, 2), episodes, "mean"))
    assert nothing.gradients == ()
    torch.testing.assert_close(nothing.loss, mean_token_loss(model, batch))
