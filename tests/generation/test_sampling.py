from collections import Counter

import pytest
import torch

from metadialog.generation.greedy import Greedy
from metadialog.generation.sampling import Sampling
from metadialog.models.rnn import DialogModel

# Probabilities 0.5, 0.25, 0.15, 0.1, in another order.
LOGITS = torch.tensor([[0.15, 0.5, 0.1, 0.25]], dtype=torch.float64).log()


def strategy(temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, max_tokens: int = 8) -> Sampling:
    return Sampling(max_tokens=max_tokens, temperature=temperature, top_k=top_k, top_p=top_p)


def model() -> DialogModel:
    torch.manual_seed(1)
    return DialogModel(12, cell="lstm", embedding_size=8, hidden_size=8, layers=1, dropout=0.0, tied_embedding=False)


def replies(seed: int | None, prompts: list[list[int]]) -> list[list[int]]:
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    return strategy().generate(model(), prompts, 2, [0, 1], generator)


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (strategy(), [0.15, 0.5, 0.1, 0.25]),
        # Squares: 0.0225, 0.25, 0.01, 0.0625 over 0.345.
        (strategy(temperature=0.5), [0.0225 / 0.345, 0.25 / 0.345, 0.01 / 0.345, 0.0625 / 0.345]),
        (strategy(top_k=1), [0, 1, 0, 0]),
        (strategy(top_k=2), [0, 2 / 3, 0, 1 / 3]),
        (strategy(top_k=9), [0.15, 0.5, 0.1, 0.25]),
        (strategy(top_p=0.4), [0, 1, 0, 0]),
        (strategy(top_p=0.7), [0, 2 / 3, 0, 1 / 3]),
        (strategy(top_p=0.8), [1 / 6, 5 / 9, 0, 5 / 18]),
        # The nucleus is taken from the top k: 5/9, 5/18, 1/6. From all tokens, it would include the third as well.
        (strategy(top_k=3, top_p=0.8), [0, 2 / 3, 0, 1 / 3]),
        (strategy(temperature=1e-3), [0, 1, 0, 0]),
        (strategy(temperature=1e6), [0.25, 0.25, 0.25, 0.25]),
    ],
)
def test_the_distribution_by_hand(sampling: Sampling, expected: list[float]) -> None:
    found = sampling.distribution(LOGITS)
    torch.testing.assert_close(found, torch.tensor([expected], dtype=torch.float64), atol=1e-6, rtol=0)


def test_of_equal_tokens_no_more_than_k_are_kept() -> None:
    assert strategy(top_k=2).distribution(torch.zeros(1, 4)).tolist() == [[0.5, 0.5, 0, 0]]


def test_rows_have_their_own_nucleus() -> None:
    logits = torch.tensor([[0.9, 0.05, 0.05], [0.4, 0.35, 0.25]]).log()
    kept = strategy(top_p=0.7).distribution(logits) > 0
    assert kept.tolist() == [[True, False, False], [True, True, False]]


def test_tokens_come_as_often_as_they_should() -> None:
    speaker, copies = model(), 4000
    prompts = [[3, 4, 5]] * copies
    drawn = strategy(max_tokens=1).generate(speaker, prompts, 2, [0, 1], torch.Generator().manual_seed(0))
    counts = Counter(reply[0] if reply else 2 for reply in drawn)
    with torch.no_grad():
        logits = speaker(torch.tensor([[3, 4, 5]]))[0][0, -1]
    logits[:2] = -torch.inf
    expected = (logits.softmax(-1) * copies).tolist()
    chi_square = sum((counts[token] - mean) ** 2 / mean for token, mean in enumerate(expected) if mean)
    assert chi_square < 21.7  # 9 degrees of freedom, significance level 1 %
    assert not counts[0]
    assert not counts[1]


def test_the_generator_decides() -> None:
    prompts = [[3, 4], [5], [6, 7, 8]]
    assert replies(0, prompts) == replies(0, prompts)
    assert replies(0, prompts) != replies(1, prompts)


def test_a_generator_goes_on() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (strategy().generate(model(), [[3, 4]], 2, [0, 1], generator) for _ in range(2))
    assert first != second


def test_without_a_generator_the_global_seed_decides() -> None:
    assert replies(None, [[3, 4], [5]]) == replies(None, [[3, 4], [5]])  # model() seeds


def test_equal_prompts_get_different_replies() -> None:
    assert len({tuple(reply) for reply in replies(0, [[3, 4]] * 8)}) > 4


def test_top_1_is_greedy() -> None:
    speaker, prompts = model(), [[3, 4], [5], [6, 7, 8]]
    greedy = Greedy(max_tokens=8).generate(speaker, prompts, 2, [0, 1], None)
    assert strategy(top_k=1).generate(speaker, prompts, 2, [0, 1], None) == greedy
    assert any(greedy)
