"""The Transformer: causality, its equations, the cache, second derivatives, and all engines."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from metadialog.engines.auto import AutoEngine
from metadialog.engines.base import InnerLoop
from metadialog.engines.learn2learn import Learn2LearnEngine
from metadialog.episodes import Batch, Episode
from metadialog.errors import ConfigError
from metadialog.models.loss import mean_token_loss
from metadialog.models.transformer import Transformer, rotate

VOCABULARY = 11


def make(**options: object) -> Transformer:
    torch.manual_seed(0)
    chosen = {"embedding_size": 8, "heads": 2, "layers": 2, "dropout": 0.0, "tied_embedding": False, **options}
    return Transformer(VOCABULARY, **chosen).double().eval()  # type: ignore[arg-type]


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(5, VOCABULARY, (3, 6), generator=torch.Generator().manual_seed(1))


def test_a_token_changes_nothing_before_it(tokens: Tensor) -> None:
    model, changed = make(), tokens.clone()
    changed[:, 3] = (changed[:, 3] + 1) % VOCABULARY
    before, after = model(tokens)[0], model(changed)[0]
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 3:], after[:, 3:])


def test_the_cache_carries_all_that_was_read(tokens: Tensor) -> None:
    model = make()
    whole, _ = model(tokens)
    first, state = model(tokens[:, :2])
    second, state = model(tokens[:, 2:5], state)
    third, _ = model.step(tokens[:, 5], state)
    torch.testing.assert_close(torch.cat([first, second, third[:, None]], dim=1), whole, rtol=1e-10, atol=1e-10)


def test_positions_matter_by_their_distance_alone() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(2, 1, 1, 1, 6, dtype=torch.float64)

    def product(at: int, of: int) -> float:
        angles = torch.tensor([[float(at), float(of)]], dtype=torch.float64)[..., None] * torch.tensor([1.0, 0.1, 0.01])
        rotations = torch.stack([angles.cos(), angles.sin()])[:, :, None]  # [2, 1, 1, 2, 3]
        return float((rotate(query, rotations[..., :1, :]) * rotate(key, rotations[..., 1:, :])).sum())

    assert product(5, 3) == pytest.approx(product(12, 10))
    assert product(0, 0) == pytest.approx(float((query * key).sum()))
    assert product(5, 3) != pytest.approx(product(5, 4))


def test_a_block_is_that_of_its_equations(tokens: Tensor) -> None:
    model = make(layers=1)
    block: Any = model.blocks[0]
    x = model.embed(tokens[0])  # [time, width]

    def norm(values: Tensor) -> Tensor:
        centred = values - values.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()

    queries, keys, values = (norm(x) @ block.attend.weight.T + block.attend.bias).chunk(3, dim=-1)
    found = torch.zeros_like(x)
    for head in range(2):
        columns = slice(4 * head, 4 * head + 4)

        def turned(vectors: Tensor, columns: slice = columns) -> Tensor:
            pairs = torch.complex(vectors[:, columns][:, :2], vectors[:, columns][:, 2:])
            angles = torch.arange(len(vectors))[:, None] * torch.tensor([1.0, 0.01], dtype=torch.float64)
            rotated = pairs * torch.polar(torch.ones_like(angles), angles)
            return torch.cat([rotated.real, rotated.imag], dim=-1)

        for time in range(len(x)):
            weights = (turned(keys)[: time + 1] @ turned(queries)[time] / 2).softmax(0)
            found[time, columns] = weights @ values[: time + 1, columns]
    x = x + found @ block.project.weight.T + block.project.bias
    hidden = nn.functional.gelu(norm(x) @ block.up.weight.T + block.up.bias)
    x = x + hidden @ block.down.weight.T + block.down.bias
    expected = norm(x) @ model.head.linear.weight.T + model.head.linear.bias
    torch.testing.assert_close(model(tokens)[0][0], expected, rtol=1e-6, atol=1e-6)


def test_first_and_second_derivatives(tokens: Tensor, device: torch.device) -> None:
    model = make(embedding_size=4, heads=1, layers=1).to(device)
    names = ["embed.weight", "blocks.0.attend.weight"]
    inputs = tuple(model.get_parameter(name).detach().clone().requires_grad_() for name in names)

    def loss(*values: Tensor) -> Tensor:
        replaced = dict(zip(names, values, strict=True))
        logits: Tensor = torch.func.functional_call(model, replaced, (tokens[:1, :3].to(device),))[0]
        return logits.logsumexp(-1).sum()

    assert torch.autograd.gradcheck(loss, inputs)
    assert torch.autograd.gradgradcheck(loss, inputs)


def test_a_tied_embedding_is_one_parameter(tokens: Tensor) -> None:
    model = make(tied_embedding=True)
    assert model.embed.weight is model.head.linear.weight
    assert model(tokens)[0].shape == (3, 6, VOCABULARY)


def test_a_width_that_cannot_be_divided_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"model.embedding_size=9: should be model.heads=2 times an even number"):
        make(embedding_size=9)


def episodes() -> list[Episode]:
    made = []
    generator = torch.Generator().manual_seed(2)
    for index in range(2):
        batches = []
        for _ in range(2):
            rows = torch.randint(5, VOCABULARY, (3, 7), generator=generator)
            mask = torch.arange(6) >= torch.tensor([[1], [2], [3]])
            batches.append(Batch(rows[:, :-1], rows[:, 1:], mask, torch.ones(3, dtype=torch.int64)))
        made.append(Episode("topic", index, batches[0], batches[1], (), ("a",), ("b",)))
    return made


def test_auto_picks_an_engine_that_knows_it() -> None:
    model, inner = make(), InnerLoop(0.1, 2)
    engine = AutoEngine(memory=1024)
    assert engine.pick(model, mean_token_loss, episodes(), inner)[0] in ("functional", "learn2learn")
    found = engine.meta_gradient(model, mean_token_loss, episodes(), inner, "mean")
    expected = Learn2LearnEngine().meta_gradient(model, mean_token_loss, episodes(), inner, "mean")
    for ours, theirs in zip(found.gradients, expected.gradients, strict=True):
        torch.testing.assert_close(ours, theirs)
    first_order = Learn2LearnEngine().meta_gradient(
        model, mean_token_loss, episodes(), InnerLoop(0.1, 2, first_order=True), "mean"
    )
    assert not all(torch.allclose(a, b) for a, b in zip(found.gradients, first_order.gradients, strict=True))
