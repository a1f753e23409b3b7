"""The policy gradient, compared with the exact gradient in cases where all replies can be listed."""

import itertools
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from metadialog.episodes import Batch
from metadialog.metrics.quality import rouge_l
from metadialog.models.loss import mean_token_loss
from metadialog.models.rnn import DialogModel
from metadialog.objectives.base import LIKELIHOOD
from metadialog.objectives.self_critical import SelfCritical, self_critical
from metadialog.token_ids import OTHER_ID, PAD_ID, SELF_ID
from metadialog.tokenizers.tokenizer import Tokenizer
from metadialog.tokenizers.word import WordTokenizer

Run = Callable[..., Any]
BEGIN, END = 1, 2
WORDS = ["yes", " no", " maybe"]


class ThreeWords(Tokenizer):
    """A tokenizer with only three words besides the special tokens, so that all replies can be listed."""

    def __init__(self) -> None:
        super().__init__(WordTokenizer(vocab_size=261).train([]).backend)

    @property
    def vocab_size(self) -> int:
        return 5 + len(WORDS)

    def decode(self, ids: Any) -> str:  # noqa: ANN401
        return "".join(WORDS[i - 5] for i in ids if i >= 5).strip()


TOKENIZER = ThreeWords()
MOST = 2


def make_batch(exchanges: Sequence[tuple[list[int], list[int]]]) -> Batch:
    rows = [[BEGIN, OTHER_ID, *context, SELF_ID, *reply, END] for context, reply in exchanges]
    time = max(map(len, rows)) - 1
    ids = torch.tensor([[*row, *[PAD_ID] * (time + 1 - len(row))] for row in rows])
    mask = torch.zeros(len(rows), time, dtype=torch.bool)
    for row, (context, reply) in enumerate(exchanges):
        mask[row, len(context) + 2 : len(context) + 3 + len(reply)] = True
    return Batch(ids[:, :-1], ids[:, 1:], mask, torch.ones(len(rows), dtype=torch.int64))


BATCH = make_batch([([5, 6], [7, 6]), ([7], [5])])
PROMPTS, REFERENCES = [[BEGIN, OTHER_ID, 5, 6, SELF_ID], [BEGIN, OTHER_ID, 7, SELF_ID]], ["maybe no", "yes"]


def make_model(seed: int = 0) -> DialogModel:
    torch.manual_seed(seed)
    model = DialogModel(
        TOKENIZER.vocab_size, cell="gru", embedding_size=4, hidden_size=5, layers=1, dropout=0.3, tied_embedding=False
    )
    return model.double()


def make(weight: float = 1.0, reward: str = "rouge_l") -> SelfCritical:
    return SelfCritical(TOKENIZER, reward, "13a", weight, MOST)  # type: ignore[arg-type]


def all_replies() -> list[list[int]]:
    """Return all replies of up to two words; those of two words are cut before the end token."""
    words = range(5, 5 + len(WORDS))
    return [[], *([word] for word in words), *map(list, itertools.product(words, repeat=2))]


def log_p(model: DialogModel, prompt: list[int], reply: list[int]) -> Tensor:
    """Return the probability of a reply, by the chain rule."""
    total = torch.zeros((), dtype=torch.float64)
    for place, token in enumerate([*reply, END][:MOST]):
        logits = model(torch.tensor([[*prompt, *reply[:place]]]))[0][0, -1]
        allowed = [END, *range(5, TOKENIZER.vocab_size)]
        total = total + logits[token] - logits[allowed].logsumexp(0)
    return total


def gradient(model: DialogModel, loss: Tensor) -> Tensor:
    found = torch.autograd.grad(loss, list(model.parameters()))
    return torch.cat([part.flatten() for part in found])


def test_all_replies_have_a_probability_and_no_others() -> None:
    model = make_model().eval()
    replies = all_replies()
    for prompt in PROMPTS:
        found = make().log_probabilities(model, [prompt] * len(replies), replies)
        expected = torch.stack([log_p(model, prompt, reply) for reply in replies])
        torch.testing.assert_close(found, expected)
        assert found.exp().sum().item() == pytest.approx(1)


def test_the_expected_gradient_is_that_of_the_expected_reward() -> None:
    model = make_model().train()
    objective = make()
    model.eval()
    rewards = [
        sum(log_p(model, prompt, reply).exp() * rouge_l(reference, TOKENIZER.decode(reply)) for reply in all_replies())
        for prompt, reference in zip(PROMPTS, REFERENCES, strict=True)
    ]
    exact = gradient(model, -torch.stack([torch.as_tensor(reward) for reward in rewards]).sum() / BATCH.mask.sum())
    model.train()
    torch.manual_seed(0)
    drawn = torch.stack([gradient(model, objective(model, BATCH)) for _ in range(1500)])
    error = drawn.std(0) / math.sqrt(len(drawn))
    off = (drawn.mean(0) - exact)[error > 1e-9] / error[error > 1e-9]
    assert off.abs().max() < 5  # standard errors
    assert off.square().mean() < 2
    assert (drawn.mean(0) - exact).norm() < 0.2 * exact.norm()


def test_its_prompts_and_references_are_those_of_the_batch() -> None:
    prompts, references = make()._exchanges(BATCH)
    assert prompts == [tuple(prompt) for prompt in PROMPTS]
    assert references == REFERENCES


@pytest.mark.parametrize("reward", ["rouge_l", "bleu"])
def test_a_reply_that_is_no_better_than_the_greedy_one_teaches_nothing(reward: str) -> None:
    model = make_model().train()
    with torch.no_grad():  # always gives the same reply
        model.linear.weight.zero_()
        model.linear.bias.copy_(40.0 * one_hot(torch.tensor(6), TOKENIZER.vocab_size))
    assert gradient(model, make(reward=reward)(model, BATCH)).abs().max() == 0


def test_the_weight_mixes() -> None:
    model = make_model().eval()
    policy, likelihood = make().policy_loss(model, BATCH), mean_token_loss(model, BATCH)
    torch.testing.assert_close(make(0.25)(model, BATCH), 0.25 * policy + 0.75 * likelihood)
    options = {"reward": "bleu", "bleu_tokenizer": "13a", "max_tokens": 3}
    assert self_critical(TOKENIZER, level="both", weight=0, **options) is LIKELIHOOD  # type: ignore[arg-type]
    outer = self_critical(TOKENIZER, level="outer", weight=1, **options)  # type: ignore[arg-type]
    assert outer.inner is mean_token_loss
    assert isinstance(outer.outer, SelfCritical)
    inner = self_critical(TOKENIZER, level="inner", weight=1, **options)  # type: ignore[arg-type]
    assert inner.outer is mean_token_loss
    assert isinstance(inner.inner, SelfCritical)


def test_losses_of_parts_add_up_by_their_tokens() -> None:
    model = make_model().eval()  # so that the random numbers depend only on the part
    objective = make()
    parts = [make_batch([([5, 6], [7, 6])]), make_batch([([7], [5])])]
    whole = sum(objective(model, part) * part.mask.sum() for part in parts)
    rows = [objective.policy_loss(model, part) * part.mask.sum() for part in parts]
    torch.testing.assert_close(torch.as_tensor(whole), torch.stack(rows).sum())


def test_in_evaluation_the_draws_depend_on_the_batch_alone() -> None:
    model = make_model().eval()
    torch.manual_seed(1)
    first = make()(model, BATCH)
    state = torch.get_rng_state()
    second = make()(model, BATCH)
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)


def test_dropout_is_off_while_it_is_computed_and_on_again_after() -> None:
    model = make_model().train()
    torch.manual_seed(3)
    found = make()(model, BATCH)
    assert all(module.training for module in model.modules())
    model.drop.p = 0.0
    torch.manual_seed(3)
    assert torch.equal(make()(model, BATCH), found)


def test_second_derivatives() -> None:
    model = make_model().eval()
    names = [name for name, _ in model.named_parameters()]

    def function(*values: Tensor) -> Tensor:
        """The random numbers are the same each time, regardless of the weights."""

        class Moved(torch.nn.Module):
            def forward(self, tokens: Tensor, hidden: Any = None) -> Any:  # noqa: ANN401
                weights = dict(zip(names, values, strict=True))
                return torch.func.functional_call(model, weights, (tokens, hidden))

        return make().log_probabilities(Moved_with_parameters(Moved()), PROMPTS, [[6, 7], [5]]).sum()

    class Moved_with_parameters(torch.nn.Module):  # noqa: N801
        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner, self.here = inner, torch.nn.Parameter(torch.zeros(1))

        def forward(self, tokens: Tensor) -> Any:  # noqa: ANN401
            return self.inner(tokens)

    weights = tuple(parameter.detach().requires_grad_() for parameter in model.parameters())
    assert torch.autograd.gradcheck(function, weights, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, weights, fast_mode=True)


def test_a_policy_learns_what_is_rewarded() -> None:
    model = make_model().train()
    optimizer = torch.optim.Adam(model.parameters(), 0.03)
    objective = make()
    torch.manual_seed(0)

    def expected() -> float:
        with torch.no_grad():
            return sum(
                float(log_p(model.eval(), prompt, reply).exp()) * rouge_l(reference, TOKENIZER.decode(reply))
                for prompt, reference in zip(PROMPTS, REFERENCES, strict=True)
                for reply in all_replies()
            ) / len(PROMPTS)

    before = expected()
    for _ in range(150):
        optimizer.zero_grad()
        objective(model.train(), BATCH).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert before < 0.5
    assert expected() > 0.8


TINY = (
    "debug=smoke", "logger=local", "model.hidden_size=12", "model.embedding_size=10", "evaluation.queries=1",
    "generation.max_tokens=3", "objective=self_critical", "objective.max_tokens=4", "model.dropout=0",
    "sampler.shots=1", "sampler.queries=1", "training.meta_batch=2", "sampler.max_tokens=12",
)  # fmt: skip


def numbers(directory: Path) -> list[float]:
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [line["value"] for line in lines if line["name"] != "tasks_per_second"]


@pytest.mark.parametrize("algorithm", ["maml", "finetune", "reptile"])
def test_a_run_that_goes_on_gives_the_same_numbers(run: Run, algorithm: str) -> None:
    options = (*TINY, f"algorithm={algorithm}", "objective.level=both")
    whole = run("train", *options, "hydra.run.dir=whole")
    assert whole.code == 0, whole.err
    assert run("train", *options, "training.steps=1", "hydra.run.dir=part").code == 0
    assert run("train", "resume=part", "training.steps=2").code == 0
    assert numbers(Path("part"))[-2:] == numbers(Path("whole"))[-2:]


@pytest.mark.parametrize("level", ["outer", "inner"])
@pytest.mark.parametrize("engine", ["vectorized", "lean"])
def test_engines_that_do_not_know_it_say_so_before_anything_starts(run: Run, engine: str, level: str) -> None:
    outcome = run("train", *TINY, f"engine={engine}", f"objective.level={level}")
    assert outcome.code == 2
    assert outcome.out == ""
    assert (
        "not the objective SelfCritical; engine=functional, engine=learn2learn and engine=auto support everything"
        in outcome.err
    )


def test_a_wrong_weight_is_named(run: Run) -> None:
    outcome = run("train", *TINY, "objective.weight=1.5")
    assert outcome.code == 2
    assert "objective.weight=1.5" in outcome.err
