"""Rules for the next token, streaming, and n-best replies with scores, for recurrent and cached models."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from metadialog.generation.beam import Beam
from metadialog.generation.greedy import Greedy
from metadialog.generation.rules import Rules
from metadialog.generation.sampling import Sampling
from metadialog.generation.stepwise import Stepwise
from metadialog.models.rnn import DialogModel
from metadialog.models.transformer import Transformer

PAD, BEGIN, END, SELF, OTHER = range(5)
NEVER = (PAD, BEGIN, SELF, OTHER)
VOCABULARY = 14
PROMPTS = [[1, 4, 5, 3], [1, 3], [1, 4, 7, 8, 9, 10, 3]]


@pytest.fixture(params=["recurrent", "cached"])
def model(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(1)
    made: nn.Module
    if request.param == "recurrent":
        made = DialogModel(
            VOCABULARY, cell="lstm", embedding_size=8, hidden_size=8, layers=1, dropout=0.0, tied_embedding=False
        )
    else:
        made = Transformer(VOCABULARY, embedding_size=8, heads=2, layers=2, dropout=0.0, tied_embedding=False)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.7)
    return made.double().eval()


def generations(**options: Any) -> list[Stepwise | Beam]:
    return [
        Greedy(max_tokens=12, **options),
        Sampling(max_tokens=12, temperature=1.3, top_k=6, top_p=0.95, **options),
        Beam(max_tokens=12, beams=3, length_penalty=1.0, **options),
    ]


def replies(generation: Stepwise | Beam, model: nn.Module) -> list[list[int]]:
    return generation.generate(model, PROMPTS, END, NEVER, torch.Generator().manual_seed(0))


def test_the_repetition_penalty_by_hand() -> None:
    logits = torch.tensor([[2.0, -2.0, 1.0, 4.0]])
    found = Rules(repetition_penalty=2.0).apply(logits, [[0, 1, 0]], end_id=3)
    assert found.tolist() == [[1.0, -4.0, 1.0, 4.0]]


def test_a_tiny_repetition_penalty_leaves_finite_logits() -> None:
    changed = Rules(repetition_penalty=1e-40).apply(torch.tensor([[2.0, -1.0, 3.0]]), [[0, 1]], END)
    assert changed.isfinite().all()


def test_no_sequence_comes_twice_by_hand() -> None:
    # After 0 1 2 0 1, a 2 would repeat the pair (1, 2) and the triple (0, 1, 2).
    said = [[0, 1, 2, 0, 1]]
    for size, banned in ((1, {0, 1, 2}), (2, {2}), (3, {2}), (4, set()), (6, set())):
        found = Rules(no_repeat_ngrams=size).apply(torch.zeros(1, 4), said, end_id=3)
        assert {token for token in range(4) if found[0, token] == -torch.inf} == banned


def test_a_reply_does_not_end_too_early() -> None:
    rules = Rules(min_tokens=2)
    assert rules.apply(torch.zeros(1, 2), [[0]], end_id=1).tolist() == [[0, -torch.inf]]
    assert rules.apply(torch.zeros(1, 2), [[0, 0]], end_id=1).tolist() == [[0, 0]]


def test_rules_that_leave_nothing_do_not_count() -> None:
    logits = torch.tensor([[-torch.inf, 1.0, 2.0]])
    assert Rules(no_repeat_ngrams=1, min_tokens=9).apply(logits, [[1]], end_id=2).tolist() == [[-torch.inf, 1.0, 2.0]]


@pytest.mark.parametrize("place", range(3))
def test_replies_keep_to_the_rules(model: nn.Module, place: int) -> None:
    plain = replies(generations()[place], model)
    assert any(len(reply) < 5 for reply in plain) or any(len(set(reply)) < len(reply) for reply in plain)
    for reply in replies(generations(min_tokens=5)[place], model):
        assert len(reply) >= 5
    for reply in replies(generations(no_repeat_ngrams=2, min_tokens=8)[place], model):
        pairs = list(pairwise(reply))
        assert len(pairs) == len(set(pairs))
    for reply in replies(generations(no_repeat_ngrams=1, min_tokens=6)[place], model):
        assert len(reply) == len(set(reply))
    repeated = [
        sum(len(reply) - len(set(reply)) for reply in replies(generation, model))
        for generation in (
            generations(min_tokens=9)[place],
            generations(repetition_penalty=50.0, min_tokens=9)[place],
        )
    ]
    assert repeated[1] < repeated[0]


def test_a_stream_is_the_reply_token_by_token(model: nn.Module) -> None:
    for generation in generations()[:2]:
        assert isinstance(generation, Stepwise)
        streamed: list[list[int]] = [[] for _ in PROMPTS]
        arguments = (model, PROMPTS, END, NEVER)
        for made in generation.stream(*arguments, torch.Generator().manual_seed(0)):
            for row, (token, log_p) in enumerate(made):
                assert log_p <= 0
                if token not in (None, END):
                    streamed[row].append(int(token))
        assert streamed == replies(generation, model)


def test_a_stream_computes_no_more_than_is_taken(model: nn.Module) -> None:
    steps: list[int] = []
    model.register_forward_hook(lambda *_: steps.append(1))
    stream = Greedy(max_tokens=12, min_tokens=12).stream(model, [[1, 4, 3]], END, NEVER, None)
    next(stream)
    before = len(steps)
    next(stream)
    assert len(steps) == before + 1


def log_probability(model: nn.Module, prompt: Sequence[int], reply: Sequence[int], *, cut: bool) -> float:
    tokens = [*reply] if cut else [*reply, END]
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *tokens[:-1]]]))[0][0, len(prompt) - 1 :].clone()
    logits[:, list(NEVER)] = -torch.inf
    log_p = logits.log_softmax(-1)
    return sum(float(log_p[at, token]) for at, token in enumerate(tokens))


@pytest.mark.parametrize("place", [1, 2])
def test_the_best_replies_come_with_their_scores(model: nn.Module, place: int) -> None:
    generation = generations()[place]
    found = generation.n_best(model, PROMPTS, END, NEVER, torch.Generator().manual_seed(0), 3)
    for prompt, best in zip(PROMPTS, found, strict=True):
        assert 1 <= len(best) <= 3
        assert len({tuple(reply.tokens) for reply in best}) == len(best)
        assert [reply.score for reply in best] == sorted((reply.score for reply in best), reverse=True)
        for reply in best:
            cut = len(reply.tokens) == 12
            expected = log_probability(model, prompt, reply.tokens, cut=cut)
            assert reply.log_probability == pytest.approx(expected)
            assert reply.score == pytest.approx(expected / (len(reply.tokens) + (not cut)))
    if place == 2:
        assert [best[0].tokens for best in found] == replies(generation, model)
